"""rampd: ramps a flexible-load hall's grid purchase up or down within five seconds."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("rampd")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+source"
