"""The files that a site names beside its own: secrets and certificates must be there, and have an effect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rampd.daemon.config import Config
from rampd.daemon.equipment import Login
from rampd.daemon.sitefile import Problem, nth
from rampd.drivers import maps
from rampd.drivers.members import MemberMap

Places = dict[str, tuple[str, int]]

CREDENTIALS: Final = Path("/run/credentials")
"""Where systemd puts what only the service may see: whether it is there, nobody else can say."""


def files(config: Config, places: Places) -> Iterator[Problem]:
    """Secrets and certificates of logins, links and broker."""
    folder = config.path.parent
    for key in ("password_file", "ca_file", "cert_file", "key_file"):
        # Those of the broker stand beside the site file already (`Mqtt.beside`).
        yield from _there(places["[mqtt]"], f"mqtt.{key}", Path(), getattr(config.mqtt, key))
    for i, login in enumerate(config.logins):
        at = places[nth("login", i)]
        for key in ("secret_file", "ca_file"):
            yield from _there(at, f"login {login.id}: {key}", folder, getattr(login, key))
        yield from _without_tls(config, login, at)
    for i, link in enumerate(config.links):
        for key in ("ca_file", "cert_file", "key_file"):
            yield from _there(places[nth("link", i)], f"link {link.address}: {key}", folder, getattr(link, key))


def _there(at: tuple[str, int], name: str, folder: Path, file: Path | None) -> Iterator[Problem]:
    """A file that is named exists. Whether rampd may read it is seen when it starts, as the user it runs as."""
    if file is None:
        return
    path = folder / file
    if path.is_relative_to(CREDENTIALS):
        return
    try:
        missing = not path.is_file()
    except OSError:
        return
    if missing:
        yield Problem(*at, f"{name}: {path} cannot be read: there is no such file", "put it there or correct the path")


def _without_tls(config: Config, login: Login, at: tuple[str, int]) -> Iterator[Problem]:
    """What believes a certificate belongs to a login of members that show one."""
    if login.ca_file is None and login.pin_sha256 is None:
        return
    found = {rack.map: maps.load(rack.map, config.map_folder) for rack in config.racks if rack.login == login.id}
    plain = [name for name, one in found.items() if isinstance(one, MemberMap) and not one.has_tls]
    if plain:
        message = f"login {login.id}: ca_file and pin_sha256 have no effect: map {plain[0]} is spoken to without TLS"
        yield Problem(*at, message, "leave them out, or give the racks with TLS a login of their own")
