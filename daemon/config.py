"""The site file as frozen, validated objects: what may stand in it, in which units, within which reason.

`daemon.sitefile` reads files into these; `daemon.sitecheck` holds the rules that span several of them. Units stand in
the keys, as an operator writes them; conversion to SI happens once, in `daemon.site`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rampd.daemon.addresses import Host, Legible
from rampd.daemon.equipment import Link, Login, Loop, Member, Meter, Node, Rack
from rampd.daemon.section import Id, Section
from rampd.drivers.racks import Foreign

SiteMw = Annotated[float, Field(gt=0, le=2000)]
Seconds = Annotated[float, Field(gt=0, le=86400)]


class Site(Section):
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


class Control(Section):
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


class Window(Section):
    """The purchase may change by so much within any `s` seconds."""

    s: Annotated[float, Field(ge=1, le=3600)]
    up_mw: Annotated[float, Field(gt=0, le=2000)]
    down_mw: Annotated[float, Field(gt=0, le=2000)]


class Normal(Section):
    """Ramp limits while nobody has dispatched the site; the slope leaves each window room for the load's own noise."""

    up_mw_per_min: Annotated[float, Field(gt=0, le=2000)] = 20.0
    down_mw_per_min: Annotated[float, Field(gt=0, le=2000)] = 20.0
    window: tuple[Window, ...] = (Window(s=15, up_mw=5, down_mw=5),)


class Dispatched(Section):
    """Ramp limits of an authorised command with its own ramp."""

    up_mw_per_s: Annotated[float, Field(gt=0, le=500)]
    down_mw_per_s: Annotated[float, Field(gt=0, le=500)]
    window: tuple[Window, ...] = ()


class Restore(Section):
    """The way back after an emergency: slower than any other, one feeder `stagger_s` after the other.

    Below a live set point as well: that says where to, and its own rate was for a change that it had asked for. Where
    [normal] is slower still, its rate and its windows hold. A fresh set point ends the way back and goes at its own.
    """

    up_mw_per_min: Annotated[float, Field(gt=0, le=2000)] = 10.0
    stagger_s: Annotated[float, Field(ge=0, le=600)] = 5.0


class Grid(Section):
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


class Under(Section):
    """An under-frequency step: at or below `hz` racks of this tier and of higher ones go to their least at once.

    It lies 0.2 Hz and `grid.hold_hz` or more below `nominal_hz`; a rack has that tier or a higher one.
    """

    hz: Annotated[float, Field(ge=40, le=60)]
    tier: Annotated[int, Field(ge=1, le=8)]


class Lease(Section):
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


class Mqtt(Section):
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


class Record(Section):
    """What the control loop was given and gave, tick by tick, for `rampd replay`; `max_mb` in all, 0: nothing."""

    max_mb: Annotated[int, Field(ge=0, le=1_000_000)] = 512


class Http(Section):
    """Where /metrics, /healthz and /readyz answer."""

    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 9464


class Mirror(Section):
    """A Modbus/TCP server that can only be read, for building management and SCADA; its table is in docs/mirror.md."""

    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 1502


class Fleet(Section):
    """CSV files beside the site file, one row a device."""

    racks: Path
    nodes: Path | None = None
    members: Path | None = None


class SiteFile(Section):
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
