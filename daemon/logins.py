"""The logins of a site: secrets read from their files, once, as the user that rampd runs as."""

from __future__ import annotations

from rampd.daemon.config import Config
from rampd.daemon.sitefile import ConfigError, Problem
from rampd.drivers.members import Login, Trust


def logins(config: Config) -> dict[str, tuple[Login, Trust]]:
    """Login and trust by id. Raises ConfigError for a secret that cannot be read."""
    folder = config.path.parent
    found: dict[str, tuple[Login, Trust]] = {}
    problems: list[Problem] = []
    for login in config.logins:
        secret = ""
        if login.secret_file is not None:
            path = folder / login.secret_file
            try:
                secret = path.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
            except (OSError, UnicodeDecodeError) as error:
                message = f"login {login.id}: secret_file {path} cannot be read: {error}"
                problems.append(Problem(str(config.path), 1, message, "give a text file that rampd may read"))
            else:
                if not secret:
                    message = f"login {login.id}: the first line of secret_file {path} is empty"
                    problems.append(Problem(str(config.path), 1, message, "write the secret into its first line"))
        ca_file = None if login.ca_file is None else folder / login.ca_file
        found[login.id] = (Login(login.username, secret), Trust(ca_file, login.pin_sha256))
    if problems:
        raise ConfigError(problems)
    return found
