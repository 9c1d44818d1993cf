"""Whether the user of a service could run a program: it may read what everybody may, and sees no homes."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from maestro_daemon.errors import MaestroError

_HIDDEN: Final = ("/root", "/home", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  (named, not used)
"""What ``ProtectHome=`` and ``PrivateTmp=`` keep out of a service's sight."""

_FOREIGN: Final = re.compile(
    "PYTHON(HOME|PATH|STARTUP)|VIRTUAL_ENV|PIP_(USER|TARGET|PREFIX|ROOT|PYTHON|EDITABLE|REQUIRE_VIRTUALENV)"
)
_MOST_LINKS: Final = 40
_ASK: Final = """
import importlib.util, json, sys, sysconfig
names = ("maestro_daemon", "maestro_openai", "maestro_local", "maestro_copilot", "aiohttp", "pydantic_core")
found = [importlib.util.find_spec(name) for name in names]
paths = [sys.executable, sys._base_executable, sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")]
paths += [spec.origin for spec in found if spec is not None and spec.origin]
print(json.dumps({"version": sys.version.split()[0], "paths": paths}))
"""


class NotRunnable(MaestroError):
    """A program cannot be used for a service; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python as itself tells it: its version, and the files and folders that it needs to run the daemon."""

    path: Path
    version: str
    needs: tuple[Path, ...]

    @property
    def chain(self) -> str:
        """Its path, and where that leads."""
        leads = os.path.realpath(self.path)
        return str(self.path) if leads == str(self.path) else f"{self.path} -> {leads}"


def plain_environ() -> dict[str, str]:
    """This process's environment without what has a Python find, or put, packages elsewhere.

    The service has none of that: what was found by it would be missing there.
    """
    return {name: value for name, value in os.environ.items() if not _FOREIGN.fullmatch(name)}


def interpreter(path: Path) -> Interpreter:
    """Ask a Python about itself. Blocks. Raises `NotRunnable`."""
    try:
        asked = subprocess.run(  # noqa: S603  (a Python that the operator runs already)
            [path, "-c", _ASK],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            cwd="/",
            env=plain_environ(),
        )
        told = json.loads(asked.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise NotRunnable(f"{path} does not run as a Python: {type(error).__name__}.") from error
    return Interpreter(path, told["version"], tuple(map(Path, told["paths"])))


def hindrance(paths: Iterable[Path], hidden: Iterable[str] = _HIDDEN) -> str | None:
    """Why the service's user cannot reach one of the paths, as ``PATH is …``; None if it can reach all."""
    out_of_sight = tuple(hidden)
    for path in paths:
        if why := _hindrance(path, out_of_sight):
            return why
    return None


def _hindrance(path: Path, hidden: tuple[str, ...]) -> str | None:
    """Walks from the root, as the kernel does, with every link on the way."""
    left = [part for part in reversed(Path(os.path.abspath(path)).parts) if part != "/"]
    here = Path("/")
    links = 0
    while left:
        step = here / left.pop()
        for place in hidden:
            if step == Path(place):
                return f"{path} leads through {place}, which the service does not see"
        try:
            found = step.lstat()
        except OSError as error:
            return f"{step} cannot be looked at ({error.strerror})"
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > _MOST_LINKS:
                return f"{path} leads in a circle"
            leads = step.readlink()
            if leads.is_absolute():
                here = Path("/")
            left += [part for part in reversed(leads.parts) if part != "/"]
            continue
        if step.name == "..":
            here = here.parent
            continue
        if stat.S_ISDIR(found.st_mode):
            if not found.st_mode & stat.S_IXOTH:
                return f"{step} is closed to other users"
        elif not found.st_mode & stat.S_IROTH:
            return f"{step} cannot be read by other users"
        here = step
    return None
