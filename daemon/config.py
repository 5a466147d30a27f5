"""The site file as frozen, validated objects: what may stand in it, in which units, within which reason.

`daemon.sitefile` reads files into these; `daemon.sitecheck` holds the rules that span several of them. Units stand in
the keys, as an operator writes them; conversion to SI happens once, in `daemon.site`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from rampd.daemon.addresses import Address, Host, Legible, MemberAddress, RackAddress
from rampd.drivers.address import Parity
from rampd.drivers.racks import Foreign

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
SiteMw = Annotated[float, Field(gt=0, le=2000)]
Seconds = Annotated[float, Field(gt=0, le=86400)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_mixture(cls, value: Any, info: ValidationInfo) -> Any:
        """true is no number, and 1 is not true."""
        wants_bool = cls.model_fields[info.field_name or ""].annotation is bool
        if wants_bool and not isinstance(value, bool):
            raise ValueError("true or false is needed")
        if isinstance(value, bool) and not wants_bool:
            raise ValueError("a value is needed, not true or false")
        return value


class Site(_Section):
    """What the site may purchase: `max_mw` is 100 % of a percent command, `import_limit_mw` is never exceeded.

    `max_deadman_mw` limits what racks may draw in sum that hold their limit for ever when rampd dies; without it they
    are only named. `generation_mw` is what is generated behind the meter at most: by so much it may show less than the
    racks and be believed, and `default_mw` lie below their least. `second_meter` stands in for one unread or doubted.
    """

    id: Id
    name: str = ""
    meter: Id
    max_mw: SiteMw
    min_mw: Annotated[float, Field(ge=0, le=2000)] = 0.0
    import_limit_mw: SiteMw
    default_mw: SiteMw
    max_deadman_mw: Annotated[float, Field(ge=0, le=2000)] | None = None
    nominal_hz: Literal[50, 60] = 60
    losses_percent: Annotated[float, Field(ge=0, le=20)] = 0.0
    generation_mw: Annotated[float, Field(ge=0, le=2000)] = 0.0
    second_meter: Id | None = None
    map_folder: Path | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Site:
        if not self.min_mw < self.max_mw <= self.import_limit_mw:
            raise ValueError(
                f"limits contradict: min_mw {self.min_mw:g} < max_mw {self.max_mw:g} <= import_limit_mw "
                f"{self.import_limit_mw:g} must hold"
            )
        if not self.min_mw <= self.default_mw <= self.max_mw:
            raise ValueError(f"limits contradict: default_mw {self.default_mw:g} lies outside min_mw to max_mw")
        return self


class Control(_Section):
    """The loop: its rate, when a reading is too old, and how fast the feedback may correct.

    Without its meter a site goes by its racks' sum and what the rest drew last, and does not rise; after `blind_max_s`
    it stands no higher than its default. Racks that nobody writes to fall back after `deadman_s`, one by one.
    `foreign` is what a limit means that others wrote to a rack: `retake` writes ours again, `hold` leaves it to them
    until it shows ours, `yield` until they were quiet for ten minutes. A channel silent for `channel_grace_s` is lost:
    its command is held flat, its lease stands, for `hold_max_s` or `"unlimited"`; then the default, never rising.
    """

    hz: Annotated[float, Field(ge=1, le=100)] = 20.0
    meter_stale_s: Annotated[float, Field(ge=0.5, le=60)] = 2.0
    rack_stale_s: Annotated[float, Field(ge=0.5, le=60)] = 5.0
    loop_stale_s: Annotated[float, Field(ge=0.5, le=120)] = 10.0
    meter_delay_s: Annotated[float, Field(ge=0, le=5)] = 0.1
    feedback_s: Annotated[float, Field(ge=0.2, le=60)] = 1.0
    channel_grace_s: Annotated[float, Field(ge=3, le=60)] = 5.0
    hold_max_s: Annotated[float, Field(ge=1, le=86400)] | Literal["unlimited"] = 300.0
    blind_max_s: Annotated[float, Field(ge=1, le=3600)] = 300.0
    actuation_deadline_s: Annotated[float, Field(ge=0.2, le=10)] = 1.0
    deadman_s: Annotated[int, Field(ge=2, le=3600)] = 30
    foreign: Foreign = "retake"


class Window(_Section):
    """The purchase may change by so much within any `s` seconds."""

    s: Annotated[float, Field(ge=1, le=3600)]
    up_mw: Annotated[float, Field(gt=0, le=2000)]
    down_mw: Annotated[float, Field(gt=0, le=2000)]


class Normal(_Section):
    """Ramp limits while nobody has dispatched the site; the slope leaves each window room for the load's own noise."""

    up_mw_per_min: Annotated[float, Field(gt=0, le=2000)] = 20.0
    down_mw_per_min: Annotated[float, Field(gt=0, le=2000)] = 20.0
    window: tuple[Window, ...] = (Window(s=15, up_mw=5, down_mw=5),)


class Dispatched(_Section):
    """Ramp limits of an authorised command with its own ramp."""

    up_mw_per_s: Annotated[float, Field(gt=0, le=500)]
    down_mw_per_s: Annotated[float, Field(gt=0, le=500)]
    window: tuple[Window, ...] = ()


class Restore(_Section):
    """The way back after an emergency: slower than any other, one feeder `stagger_s` after the other."""

    up_mw_per_min: Annotated[float, Field(gt=0, le=2000)] = 10.0
    stagger_s: Annotated[float, Field(ge=0, le=600)] = 5.0


class Grid(_Section):
    """What the site owes the grid. A fault is voltage outside 0.9 to 1.1 of `nominal_v`, line to neutral.

    `droop_percent` is that of primary frequency response beyond the deadband, 0: another level of the campus owns it.
    Beyond `hold_hz` off nominal no ramp goes against the frequency, 0: never held. A purchase that swings by more than
    `swing_limit_mw` within five seconds, set points apart, is a warning, 0: never. Regulation may ask for as much as
    `regulation_mw` beside the set point, up and down, 0: none; a signal lives for `regulation_lease_s`.
    """

    nominal_v: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    droop_percent: Annotated[float, Field(ge=0, le=20)] = 0.0
    deadband_hz: Annotated[float, Field(ge=0, le=1)] = 0.017
    hold_hz: Annotated[float, Field(ge=0, le=1)] = 0.05
    swing_limit_mw: Annotated[float, Field(ge=0, le=2000)] = 10.0
    regulation_mw: Annotated[float, Field(ge=0, le=2000)] = 0.0
    regulation_lease_s: Annotated[float, Field(ge=2, le=60)] = 12.0


class Under(_Section):
    """An under-frequency step: at or below `hz` racks of this tier and of higher ones go to their least at once.

    It lies 0.2 Hz and `grid.hold_hz` or more below `nominal_hz`; a rack has that tier or a higher one.
    """

    hz: Annotated[float, Field(ge=40, le=60)]
    tier: Annotated[int, Field(ge=1, le=8)]


class Lease(_Section):
    """How long a command lives, and where the site goes when it ends."""

    default_s: Seconds = 900.0
    max_s: Seconds = 14400.0
    after: Literal["default", "hold"] = "default"
    raise_after: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Lease:
        if self.default_s > self.max_s:
            raise ValueError(f"limits contradict: default_s {self.default_s:g} exceeds max_s {self.max_s:g}")
        return self


class Mqtt(_Section):
    """The broker. Secrets only by file; `tls = true` verifies the broker against `ca_file` or the system's store."""

    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    prefix: Legible = "rampd/v1"
    version: Literal["auto", "5", "3.1.1"] = "auto"
    username: Legible | None = None
    password_file: Path | None = None
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    keepalive_s: Annotated[int, Field(ge=2, le=120)] = 10

    @field_validator("prefix")
    @classmethod
    def _plain(cls, prefix: str) -> str:
        if not prefix or any(c in prefix for c in "+#") or prefix.startswith(("/", "$")) or prefix.endswith("/"):
            raise ValueError("a topic prefix has no wildcards and neither starts nor ends with /: rampd/v1")
        return prefix

    def beside(self, folder: Path) -> Mqtt:
        """With its files where they are: those without a root stand beside the site file."""
        names = ("password_file", "ca_file", "cert_file", "key_file")
        return self.model_copy(update={key: folder / file for key in names if (file := getattr(self, key)) is not None})


class Record(_Section):
    """What the control loop was given and gave, tick by tick, for `rampd replay`; `max_mb` in all, 0: nothing."""

    max_mb: Annotated[int, Field(ge=0, le=1_000_000)] = 512


class Http(_Section):
    """Where /metrics, /healthz and /readyz answer."""

    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 9464


class Mirror(_Section):
    """A Modbus/TCP server that can only be read, for building management and SCADA; its table is in docs/mirror.md."""

    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 1502


class Device(_Section):
    """How to reach a Modbus device: `address` is host:port, several units may share one."""

    map: str
    address: Address
    unit: Annotated[int, Field(ge=0, le=255)] = 1
    period_s: Annotated[float, Field(ge=0.02, le=600)] = 1.0


class Meter(Device):
    """A revenue or check meter."""

    id: Id


class Loop(Device):
    """A cooling loop and its CDU. Above `warn_c` no rack of it is raised, from `derate_c` on it is derated.

    Nor is one raised while the supply is less than `condensation_margin_k` above the dew point, which the CDU shows as
    `dew_point_c`, or the device that `dew_point_from` names: another CDU, a meter, a measured node.
    """

    id: Id
    max_supply_c: Annotated[float, Field(ge=5, le=90)] = 45.0
    warn_c: Annotated[float, Field(ge=5, le=90)] = 38.0
    derate_c: Annotated[float, Field(ge=5, le=90)] = 40.0
    return_max_c: Annotated[float, Field(ge=10, le=95)] = 60.0
    min_flow_lpm: Annotated[float, Field(ge=0, le=100000)] = 0.0
    condensation_margin_k: Annotated[float, Field(ge=0, le=20)] = 2.0
    dew_point_from: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Loop:
        if not self.warn_c < self.derate_c < self.max_supply_c < self.return_max_c:
            raise ValueError("limits contradict: warn_c < derate_c < max_supply_c < return_max_c must hold")
        return self


class Link(_Section):
    """What belongs to an address besides the address: certificates of tls://, the settings of serial: lines.

    A device behind tls:// is verified against `ca_file` or the system's store, and shown `cert_file` with `key_file`.
    """

    address: Address
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    baud: Annotated[int, Field(ge=300, le=1_000_000)] | None = None
    parity: Parity | None = None
    stop_bits: Literal[1, 2] | None = None

    @model_validator(mode="after")
    def _of_its_kind(self) -> Link:
        kind = self.address.partition(":")[0]
        files = self.ca_file or self.cert_file or self.key_file
        if files is not None and kind != "tls":
            raise ValueError(f"certificates belong to a tls:// address, this is {self.address}")
        if (self.baud or self.parity or self.stop_bits) is not None and kind != "serial":
            raise ValueError(f"baud, parity and stop_bits belong to a serial: address, this is {self.address}")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self


class Login(_Section):
    """User and secret of BMCs or miners, and how their certificate is believed. The secret is the file's first line.

    `ca_file` verifies against that authority, `pin_sha256` believes the one certificate with that fingerprint; without
    either the system's store decides.
    """

    id: Id
    username: str = ""
    secret_file: Path | None = None
    ca_file: Path | None = None
    pin_sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None


class Member(_Section):
    """One BMC or miner of a rack."""

    rack: str
    address: MemberAddress


class Node(_Section):
    """A point of the electrical tree with a continuous rating; with a device where it is measured."""

    id: Id
    kind: Literal["main", "feeder", "transformer", "pdu"]
    parent: str = ""
    rating_kw: Annotated[float, Field(gt=0, le=2_000_000)]
    derating: Annotated[float, Field(gt=0, le=1)] = 0.8
    map: str | None = None
    address: Address | None = None
    unit: Annotated[int, Field(ge=0, le=255)] = 1
    period_s: Annotated[float, Field(ge=0.02, le=600)] = 1.0

    @model_validator(mode="after")
    def _device(self) -> Node:
        if (self.map is None) != (self.address is None):
            raise ValueError("a measured node has both map and address, an unmeasured one neither")
        return self

    def device(self) -> Device | None:
        """Its meter, where it has one."""
        if self.map is None or self.address is None:
            return None
        return Device(map=self.map, address=self.address, unit=self.unit, period_s=self.period_s)


class Rack(Device):
    """A rack: what it may draw, how fast it answers, and its place in tree, cooling and shed order.

    The highest tier number sheds first. `quantum_kw` is the step it moves in, 0 when it moves freely; `levels_kw` lists
    its levels instead, from asleep or its least to its most, as "0 36 72 109". After a rise it stays for `min_on_s`,
    after a fall for `min_off_s`, and it changes no more than `changes_per_day` times, 0: as often as needed; safety
    does not wait, and a restart forgets none of it. `fallback_kw` is where its controller goes when rampd falls silent.
    A rack of BMCs or miners has its members in `fleet.members`, or one at its own address; its figures come from their
    map where a cell is empty. `power_from` names the meter or measured node that measures this rack alone, for racks
    that do not tell their power.
    """

    id: Id
    address: RackAddress = ""
    login: str = ""
    power_from: str = ""
    foreign: Foreign | None = None
    kind: Literal["gpu", "asic"]
    node: str
    loop: str
    tier: Annotated[int, Field(ge=1, le=8)] = 1
    weight: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    min_kw: Annotated[float, Field(ge=0, le=2000)]
    max_kw: Annotated[float, Field(gt=0, le=2000)]
    up_kw_per_s: Annotated[float, Field(gt=0, le=100000)]
    down_kw_per_s: Annotated[float, Field(gt=0, le=100000)]
    dead_up_s: Annotated[float, Field(ge=0, le=30)] = 0.0
    dead_down_s: Annotated[float, Field(ge=0, le=30)] = 0.0
    quantum_kw: Annotated[float, Field(ge=0, le=2000)] = 0.0
    levels_kw: tuple[Annotated[float, Field(ge=0, le=2000)], ...] = ()
    min_on_s: Annotated[float, Field(ge=0, le=86400)] = 0.0
    min_off_s: Annotated[float, Field(ge=0, le=86400)] = 0.0
    changes_per_day: Annotated[int, Field(ge=0, le=100000)] = 0
    fallback_kw: Annotated[float, Field(ge=0, le=2000)] | None = None

    @field_validator("levels_kw", mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        """A cell holds them apart by spaces."""
        return tuple(value.split()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _ordered(self) -> Rack:
        if self.min_kw > self.max_kw:
            raise ValueError(f"limits contradict: min_kw {self.min_kw:g} exceeds max_kw {self.max_kw:g}")
        if self.quantum_kw > self.max_kw:
            raise ValueError(f"limits contradict: quantum_kw {self.quantum_kw:g} exceeds max_kw {self.max_kw:g}")
        levels = self.levels_kw
        if levels and (self.quantum_kw > 0 or list(levels) != sorted(set(levels)) or len(levels) < 2):
            raise ValueError("levels_kw are at least two, rising, and instead of quantum_kw: 0 36 72 109")
        if levels and (levels[0], levels[-1]) != (self.min_kw, self.max_kw):
            raise ValueError("limits contradict: levels_kw begin at min_kw and end at max_kw")
        if self.min_on_s + self.min_off_s + self.changes_per_day > 0 and not levels and self.quantum_kw == 0:
            raise ValueError("min_on_s, min_off_s and changes_per_day need levels_kw or quantum_kw")
        if self.fallback_kw is not None and self.fallback_kw > self.max_kw:
            raise ValueError(f"limits contradict: fallback_kw {self.fallback_kw:g} exceeds max_kw {self.max_kw:g}")
        return self


class Fleet(_Section):
    """CSV files beside the site file, one row a device."""

    racks: Path
    nodes: Path | None = None
    members: Path | None = None


class SiteFile(_Section):
    """The TOML document."""

    site: Site
    control: Control = Control()
    normal: Normal = Normal()
    dispatched: Dispatched
    restore: Restore = Restore()
    grid: Grid = Grid()
    lease: Lease = Lease()
    mqtt: Mqtt = Mqtt()
    http: Http = Http()
    record: Record = Record()
    mirror: Mirror | None = None
    fleet: Fleet
    under: tuple[Under, ...] = ()
    meter: Annotated[tuple[Meter, ...], Field(min_length=1)]
    loop: Annotated[tuple[Loop, ...], Field(min_length=1)]
    node: tuple[Node, ...] = ()
    login: tuple[Login, ...] = ()
    link: tuple[Link, ...] = ()


class Config(BaseModel):
    """The whole site: the document and its fleets, checked. `path` is the file it came from."""

    model_config = ConfigDict(frozen=True)

    path: Path
    site: Site
    control: Control
    normal: Normal
    dispatched: Dispatched
    restore: Restore
    grid: Grid
    under: tuple[Under, ...]
    lease: Lease
    mqtt: Mqtt
    http: Http
    record: Record = Record()
    meters: tuple[Meter, ...]
    loops: tuple[Loop, ...]
    nodes: tuple[Node, ...]
    racks: tuple[Rack, ...]
    members: tuple[Member, ...] = ()
    logins: tuple[Login, ...] = ()
    links: tuple[Link, ...] = ()
    mirror: Mirror | None = None

    @property
    def map_folder(self) -> Path | None:
        """The site's own maps, resolved against the site file."""
        folder = self.site.map_folder
        return None if folder is None else self.path.parent / folder
