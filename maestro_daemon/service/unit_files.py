"""The units that ship with the daemon, and how they look for one machine."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from maestro_daemon.service.reach import NotRunnable

NAME: Final = "maestro-daemon"
SERVICE: Final = f"{NAME}.service"
SOCKET: Final = f"{NAME}.socket"
_SHIPPED_PROGRAM: Final = "/opt/maestro-daemon/bin/maestro-daemon"
_SHIPPED_CONFIG: Final = re.compile(r"(?<=--config )\S+")
_SHIPPED_ADDRESS: Final = "ListenStream=127.0.0.1:8787"
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./@:+~-]+")
_PROGRAM: Final = re.compile(r"^ExecStart=(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Units:
    """The text of both units, and of the configuration that a new service begins with."""

    service: str
    socket: str
    config: str


def units(program: Path, config: Path, address: str, *, user: bool) -> Units:
    """The units that run `program` with `config` and listen on `address` (as `listen_address` gives it).

    Raises `NotRunnable` for a path that a unit cannot hold.
    """
    for path in (program, config):
        if not _PLAIN.fullmatch(str(path)):
            raise NotRunnable(
                f"{path} cannot stand in a unit: a path of letters, digits and -_./@:+~ is needed."
            )
    service = _shipped(SERVICE, user=user).replace(_SHIPPED_PROGRAM, str(program))
    return Units(
        _SHIPPED_CONFIG.sub(str(config), service),
        _shipped(SOCKET, user=user).replace(_SHIPPED_ADDRESS, f"ListenStream={address}"),
        first_config(user=user),
    )


def first_config(*, user: bool) -> str:
    """The configuration that a new service begins with."""
    return _shipped("config.toml", user=user)


def _shipped(name: str, *, user: bool) -> str:
    folder = files("maestro_daemon.service") / "units"
    return ((folder / "user" if user else folder) / name).read_text()


def program_of(service: str) -> Path | None:
    """The program that a unit's text names."""
    found = _PROGRAM.search(service)
    return Path(found[1]) if found else None


def listen_address(host: str, port: int) -> str:
    """``host:port`` as ``ListenStream=`` takes it: with an address in the place of a name.

    Blocks. Raises `NotRunnable` for a name that is not known.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as error:
            raise NotRunnable(f"[server] host = {host!r} is not known: {error.strerror}.") from error
        # A name of this machine has both; the older one is what clients try in any case.
        found.sort(key=lambda each: each[0] != socket.AF_INET)
        address = ipaddress.ip_address(found[0][4][0])
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
