"""Metrics of what is known of the site: firm capacity, swings, whether the feedback was slowed, how meters agree."""

from __future__ import annotations

import math
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from rampd.daemon.standby import Standby
from rampd.ext import views


def families(out: views.Outputs) -> Iterator[Metric]:
    """All of them from one snapshot."""
    yield firm(out)
    yield from swings(out)


def firm(out: views.Outputs) -> Metric:
    """Firm capacity by direction and horizon."""
    family = GaugeMetricFamily(
        "rampd_firm_capacity_watts",
        "Change of the purchase within a horizon that 19 of 20 calls of everything would exceed.",
        labels=["direction", "horizon"],
    )
    if out.started:
        for way, horizon, firm_w in (
            ("down", "5s", out.firm_down_w), ("down", "60s", out.firm_down_60_w), ("down", "600s", out.firm_down_600_w),
            ("up", "5s", out.firm_up_w), ("up", "60s", out.firm_up_60_w), ("up", "600s", out.firm_up_600_w),
        ):  # fmt: skip
            family.add_metric([way, horizon], firm_w)
    return family


def swings(out: views.Outputs) -> Iterator[Metric]:
    """What the purchase swings by, where it goes, how often the meter refreshes, whether the feedback was slowed."""
    swing = GaugeMetricFamily("rampd_site_swing_watts", "Swings of the purchase, by measure.", labels=["kind"])
    refresh = GaugeMetricFamily("rampd_meter_refresh_hertz", "How often the site meter shows a new value.")
    slope = GaugeMetricFamily(
        "rampd_site_slope_watts_per_second", "Mean slope of the purchase in the coming 15 s, foreseen."
    )
    slowed = GaugeMetricFamily("rampd_feedback_slowed_ratio", "How much slower than configured; 1 unless it swung.")
    if out.started and out.meter_good:
        swing.add_metric(["band_rms"], out.band_w)
        swing.add_metric(["peak_to_peak_5s"], out.swing_w)
        if out.refresh_s > 0.0:
            refresh.add_metric([], 1.0 / out.refresh_s)
        slope.add_metric([], out.coming_w_per_s)
    if out.started:
        slowed.add_metric([], out.detune)
    yield from (swing, refresh, slope, slowed)


def meters(standby: Standby | None) -> Iterator[Metric]:
    """Which of two site meters counts, and how far they are apart; no series where there is one."""
    counts = GaugeMetricFamily("rampd_meter_counts", "1 for the site meter that counts.", labels=["device"])
    apart = GaugeMetricFamily("rampd_meters_apart_watts", "The site meter less the second one, while both are read.")
    if standby is not None:
        for meter in (standby.first, standby.second):
            counts.add_metric([meter.name], meter is standby.counts)
        if not math.isnan(standby.twins.apart_w):
            apart.add_metric([], standby.twins.apart_w)
    yield from (counts, apart)
