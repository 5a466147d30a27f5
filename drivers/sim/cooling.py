"""A cooling loop: two bodies of water, pumps that follow the heat, and a facility side that takes it away.

Heat from the racks warms the return leg; the pumps carry it to the heat exchanger, whose facility side follows with a
lag of tens of seconds. What is carried in, carried out and stored always balances.
"""

from __future__ import annotations

import math
from typing import Final

from rampd.drivers.sim.spec import LoopSpec

# Density times specific heat of water: W per K and l/min.
WATER_W_PER_K_LPM: Final = 4180.0 / 60.0
# Of the heat, at full load: the pumps at once, chillers and dry coolers with the facility's lag.
PUMP_SHARE: Final = 0.008
CHILLER_SHARE: Final = 0.032

_PUMP_LAG_S: Final = 4.0
_FACILITY_LAG_S: Final = 30.0
_HOT_S: Final = 8.0
_COLD_S: Final = 80.0
# The facility also works off what the supply is away from its set point.
_RECOVERY_S: Final = 80.0
_MOST_HEAT: Final = 1.2
_LEAST_FLOW: Final = 0.2
_MOST_FLOW: Final = 1.2
# What still moves with the pumps stopped.
_CONVECTION: Final = 0.01
_BOILING_C: Final = 95.0
_LONGEST_STEP_S: Final = 0.5


class Loop:
    """One cooling loop. `pumps` and `chillers` are the shares of pumps and of the facility side that work, 0 when all
    have failed. `dew_point_c` is that of the air around it.

    `flow_lpm`, `supply_c` and `return_c` are the state, `power_w` what pumps and chillers draw, `removed_w` the heat
    that the facility takes, `stored_j` the heat in the water above the supply set point.
    """

    def __init__(self, spec: LoopSpec, heat_w: float) -> None:
        self.spec = spec
        self.pumps = 1.0
        self.chillers = 1.0
        self.dew_point_c = spec.dew_point_c
        self.design_lpm = spec.heat_w / (WATER_W_PER_K_LPM * spec.delta_c)
        self.flow_lpm = self._wanted_lpm(heat_w)
        self.supply_c = spec.supply_c
        self.return_c = spec.supply_c + heat_w / (WATER_W_PER_K_LPM * self.flow_lpm)
        self.removed_w = heat_w
        design_w_per_k = WATER_W_PER_K_LPM * self.design_lpm
        self._hot_j_per_k = design_w_per_k * _HOT_S
        self._cold_j_per_k = design_w_per_k * _COLD_S

    @property
    def power_w(self) -> float:
        """Electrical power of the pumps, by the affinity law, and of the chillers."""
        speed = self.flow_lpm / self.design_lpm
        return PUMP_SHARE * self.spec.heat_w * speed**3 + CHILLER_SHARE * self.removed_w

    @property
    def stored_j(self) -> float:
        """Heat in the water, counted from the supply set point."""
        above_c = self.spec.supply_c
        return self._hot_j_per_k * (self.return_c - above_c) + self._cold_j_per_k * (self.supply_c - above_c)

    def step(self, heat_w: float, dt_s: float) -> None:
        """Moves the loop by `dt_s` under `heat_w` from its racks."""
        parts = max(1, math.ceil(dt_s / _LONGEST_STEP_S))
        for _ in range(parts):
            self._step(heat_w, dt_s / parts)

    def _wanted_lpm(self, heat_w: float) -> float:
        wanted = heat_w / (WATER_W_PER_K_LPM * self.spec.delta_c)
        least = max(_LEAST_FLOW * self.design_lpm, self.spec.min_flow_lpm)
        most = max(_MOST_FLOW * self.design_lpm, self.spec.min_flow_lpm)
        return max(min(max(wanted, least), self.pumps * most), _CONVECTION * self.design_lpm)

    def _step(self, heat_w: float, dt_s: float) -> None:
        self.flow_lpm += (self._wanted_lpm(heat_w) - self.flow_lpm) * (1.0 - math.exp(-dt_s / _PUMP_LAG_S))
        w_per_k = WATER_W_PER_K_LPM * self.flow_lpm
        carried_w = w_per_k * (self.return_c - self.supply_c)
        away_c = self.supply_c - self.spec.supply_c
        wanted_w = carried_w + (w_per_k + self._cold_j_per_k / _RECOVERY_S) * away_c
        wanted_w = min(max(wanted_w, 0.0), self.chillers * _MOST_HEAT * self.spec.heat_w)
        self.return_c = min(_BOILING_C, self.return_c + (heat_w - carried_w) * dt_s / self._hot_j_per_k)
        self.supply_c += (carried_w - self.removed_w) * dt_s / self._cold_j_per_k
        self.removed_w += (wanted_w - self.removed_w) * (1.0 - math.exp(-dt_s / _FACILITY_LAG_S))
