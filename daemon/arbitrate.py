"""Who is followed: the authorities in their order, what each mode lets through, and who may ask for what.

The highest live authority replaces; whoever stands below it is refused and told so, and what it asked for is not kept
for later. Limits are no authority: all of them hold, whoever is followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Final

from rampd.daemon.messages import Rejected


class Source(IntEnum):
    """The authorities, lowest first. Regulation stands beside whoever is below the operator, and replaces nobody."""

    REGULATION = -1
    DEFAULT = 0
    SCHEDULE = 1
    REMOTE = 2
    OPERATOR = 3
    STOP = 4


class Mode(StrEnum):
    """Whose commands are followed. DEFAULT and STOP are always heard."""

    HAND = "hand"
    AUTO = "auto"
    REMOTE = "remote"


FOLLOWED: Final[Mapping[Mode, frozenset[Source]]] = {
    Mode.HAND: frozenset({Source.DEFAULT, Source.OPERATOR, Source.STOP}),
    Mode.AUTO: frozenset({Source.DEFAULT, Source.SCHEDULE, Source.OPERATOR, Source.STOP}),
    Mode.REMOTE: frozenset(Source),
}
OPERATORS_ONLY: Final = frozenset({"mode", "rack"})


def kind_of(verb: str) -> str:
    """The verb without what it is about: rack/gpu-001 is a rack."""
    return verb.partition("/")[0]


def asked_by(who: str) -> Source:
    """On whose behalf a command comes. What is claimed here is proven, if at all, by the broker's access rules."""
    return Source.OPERATOR if who == "operator" or who.startswith("operator:") else Source.REMOTE


def admit_reset(by: Source, command_id: str) -> None:
    """Whether an authority may reset the failsafe ladder. Raises Rejected."""
    if by < Source.OPERATOR:
        raise Rejected(
            "authority", 'what is latched is for the operator to reset: who must be "operator" or "operator:NAME"',
            command_id,
        )  # fmt: skip


def admit_regulation(mode: Mode, live: Source, command_id: str) -> None:
    """Whether a signal may stand beside the set point of whose command holds. Raises Rejected."""
    if Source.REGULATION not in FOLLOWED[mode]:
        raise Rejected("mode", f"the site is in {mode}: regulation is not followed", command_id)
    if live >= Source.OPERATOR:
        raise Rejected("outranked", f"a command of the {live.name.lower()} holds, and nothing beside it", command_id)


def admit(verb: str, by: Source, mode: Mode, live: Source, stopped_by: Source | None, command_id: str) -> None:
    """Whether an authority may ask for that now. `live` is whose command holds; a stop asks nobody. Raises Rejected."""
    kind = kind_of(verb)
    if stopped_by is not None and kind != "reset":
        raise Rejected("estop", "the emergency stop holds: send reset first", command_id)
    if kind == "reset":
        if stopped_by is None:
            raise Rejected("nothing", "there is nothing to reset", command_id)
        if by < stopped_by:
            raise Rejected("authority", f"the {stopped_by.name.lower()} stopped the site and must reset it", command_id)
        return
    if kind == "schedule":
        # Anybody may say what the site should do later.
        return
    if kind == "regulation":
        admit_regulation(mode, live, command_id)
        return
    if by not in FOLLOWED[mode]:
        raise Rejected("mode", f"the site is in {mode}: {by.name.lower()} commands are not followed", command_id)
    if kind in OPERATORS_ONLY and by < Source.OPERATOR:
        raise Rejected(
            "authority", f'{kind} is for the operator: who must be "operator" or "operator:NAME"', command_id
        )
    if by < live:
        raise Rejected("outranked", f"a command of the {live.name.lower()} holds, and outranks this one", command_id)
