"""What a map of any protocol says of itself, and how a map that cannot be used is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal[
    "meter", "pdu", "cdu", "chiller", "door", "genset", "inverter", "battery", "psu", "drive", "rack"
]  # fmt: skip


class MapError(ValueError):
    """A map that cannot be used; the message names the file, the place and the remedy."""


@dataclass(frozen=True, slots=True)
class WritePolicy:
    """How the limit of a rack type is followed up, whatever it speaks.

    `readback` names the value (W) that shows what latched; `accept_s`, then `effect_s` are the deadlines until it does
    and until the power has moved. A limit in `nvm` wears a memory out: it is never written. `falls_back` is True for a
    device that goes to a safe limit by itself when nothing is written any more.
    """

    readback: str
    accept_s: float
    effect_s: float
    writes_per_s: float
    storage: Literal["ram", "nvm"]
    falls_back: bool


class Strict(BaseModel):
    """A part of a map: unknown keys are errors, so are NaN and infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MapHead(Strict):
    """Name, kind of device, and where the facts come from."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    kind: Kind
    title: Annotated[str, Field(min_length=5)]
    source: Annotated[tuple[str, ...], Field(min_length=1)]
    verified: Annotated[str, Field(min_length=5)]
