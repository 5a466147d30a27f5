"""How a struct of the image is written down for Python: a class whose annotations name its C fields in their order."""

from __future__ import annotations

import ctypes
from typing import Any, Protocol, TypeVar

from rampd.ext import image


class Doubles(Protocol):
    """A C array of double."""

    def __getitem__(self, i: int, /) -> float: ...
    def __setitem__(self, i: int, value: float, /) -> None: ...


class Longs(Protocol):
    """A C array of integers: int64_t, int32_t or uint8_t."""

    def __getitem__(self, i: int, /) -> int: ...
    def __setitem__(self, i: int, value: int, /) -> None: ...


Ints = Longs
Bytes = Longs
Struct = TypeVar("Struct", bound=type[ctypes.Structure])

_TYPES: dict[str, Any] = {
    "int": ctypes.c_int64,
    "float": ctypes.c_double,
    "Doubles": ctypes.POINTER(ctypes.c_double),
    "Longs": ctypes.POINTER(ctypes.c_int64),
    "Ints": ctypes.POINTER(ctypes.c_int32),
    "Bytes": ctypes.POINTER(ctypes.c_uint8),
}


def struct(cls: Struct) -> Struct:
    """Gives a class the C fields that its annotations name, and checks its size against the C side."""
    cls._fields_ = [(name, _TYPES[kind]) for name, kind in cls.__annotations__.items()]
    if ctypes.sizeof(cls) != image.sizes()[cls.__name__]:
        raise ImportError(f"views.{cls.__name__} is not the image's struct: rebuild the extension")
    _TYPES[cls.__name__] = cls
    return cls
