"""What `state` tells of a site."""

from __future__ import annotations

from rampd.daemon import knowledge
from rampd.daemon.show import Show
from rampd.daemon.site import Composed
from tests.office import Office


def test_where_the_purchase_goes_is_told_while_it_is_read(composed: Composed, office: Office) -> None:
    out = office.out
    show = Show(composed, office.inputs, office.desk)
    out.coming_w_per_s = -1234.56
    told: list[object] = []
    for out.started, out.meter_good in ((1, 1), (1, 0), (0, 1)):
        (slope,) = [one for one in knowledge.swings(out) if one.name == "rampd_site_slope_watts_per_second"]
        told.append((show.state(out)["slope_15s_w_per_s"], [sample.value for sample in slope.samples]))
    assert told == [(-1234.6, [-1234.56]), (None, []), (None, [])]
