"""What a BMC sends, read without believing any of it. Whatever is not as it must be raises DeviceError."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from rampd.drivers.members import DeviceError

Body = dict[str, Any]

HIGHEST_W: Final = 1e6
"""No node and no GPU draws more: what is above stands for "not available", such as 4294967295."""
_LONGEST: Final = 300
_LOCAL: Final = re.compile(r"/redfish/v1(/[A-Za-z0-9_.~:@%()'-]+)*/?\Z")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_number)


class Absent(DeviceError):
    """A resource that is not there, or has no power limit."""


def parse(data: bytes, what: str) -> Body:
    """The object in a body."""
    try:
        found = _DECODER.decode(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DeviceError(f"{what}: the answer is no JSON: {brief(data.decode('utf-8', 'replace'))}") from error
    if not isinstance(found, dict):
        raise DeviceError(f"{what}: the answer is {brief(found)}, not an object")
    return found


def brief(value: object) -> str:
    """A value for a message: short, in one line, printable."""
    text = "null" if value is None else value if isinstance(value, str) else repr(value)
    text = "".join(c if c.isprintable() else " " for c in text[: _LONGEST + 1])
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def table(body: Body, name: str, what: str) -> Body:
    """An object within a resource. Raises Absent when it is not there or null."""
    found = body.get(name)
    if found is None:
        raise Absent(f"{what} has no {name}")
    if not isinstance(found, dict):
        raise DeviceError(f"{what}: {name} is {brief(found)}, not an object")
    return found


def number(body: Body, name: str, what: str) -> float | None:
    """A number; None when it is not there or null."""
    found = body.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise DeviceError(f"{what}: {name} is {brief(found)}, not a number")
    return float(found) if -1e15 < found < 1e15 else None


def watts(body: Body, name: str, what: str) -> float | None:
    """A power; None also for what no power can be: negative, or beyond anything that a rack draws."""
    found = number(body, name, what)
    return found if found is not None and 0.0 <= found <= HIGHEST_W else None


def word(body: Body, name: str, what: str) -> str | None:
    """A string; None when it is not there or null."""
    found = body.get(name)
    if found is None:
        return None
    if not isinstance(found, str):
        raise DeviceError(f"{what}: {name} is {brief(found)}, not a string")
    return found


def local(path: object, what: str) -> str:
    """A path that the BMC names, within its own Redfish service."""
    if not isinstance(path, str) or len(path) > _LONGEST or not _LOCAL.match(path) or "/../" in f"{path}/":
        raise DeviceError(f"{what}: {brief(path)} is no path of this Redfish service")
    return path


def link(body: Body, name: str, what: str) -> str:
    """The path that a reference of a resource leads to."""
    return local(table(body, name, what).get("@odata.id"), f"{what}: {name}")


def members(body: Body, what: str) -> list[str]:
    """The paths of a collection's members."""
    found = body.get("Members")
    if not isinstance(found, list):
        raise DeviceError(f"{what}: Members is {brief(found)}, not a list")
    return [local(one.get("@odata.id") if isinstance(one, dict) else one, f"{what}: Members") for one in found]


def told(body: Body) -> str:
    """What a BMC says of an error: its extended information, else its message; empty when it says nothing."""
    error = body.get("error")
    error = error if isinstance(error, dict) else {}
    said = [one for source in (error, body) for one in _extended(source)]
    if not said:
        return brief(error["message"]) if isinstance(error.get("message"), str) else ""
    return brief("; ".join(said[:3]))


def _extended(source: Body) -> list[str]:
    found = []
    for name, messages in source.items():
        if not name.endswith("@Message.ExtendedInfo"):
            continue
        for one in messages if isinstance(messages, list) else [messages]:
            if isinstance(one, str):
                found.append(one)
            elif isinstance(one, dict):
                words = [one.get("Message") or one.get("MessageId"), one.get("Resolution")]
                found.append(" ".join(text for text in words if isinstance(text, str) and text != "None."))
    return [text for text in found if text]


def warned(body: Body) -> bool:
    """Whether an answer with a good status says in its messages that something was not done."""
    for name, messages in body.items():
        if name.endswith("@Message.ExtendedInfo"):
            for one in messages if isinstance(messages, list) else [messages]:
                severity = (one.get("MessageSeverity") or one.get("Severity")) if isinstance(one, dict) else None
                if severity is not None and severity != "OK":
                    return True
    return False
