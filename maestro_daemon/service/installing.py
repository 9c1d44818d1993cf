"""Installing the daemon as a service, and taking it away again: what is written where."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from maestro_daemon.errors import MaestroError
from maestro_daemon.providers.state_directory import default_path
from maestro_daemon.service.own_environment import is_made_for
from maestro_daemon.service.unit_files import NAME, SERVICE, SOCKET, Units, first_config, program_of

_RUNNING_SYSTEMD: Final = Path("/run/systemd/system")
_KEPT: Final = "uninstalled"
_PATIENCE: Final = 300.0

Say = Callable[[str], None]


class InstallFailed(MaestroError):
    """Something could not be written, removed or told; the message is the sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the parts of a service are; `user` for one of a single user."""

    units: Path
    config: Path
    state: Path
    user: bool

    @classmethod
    def of_system(cls) -> Places:
        """For the whole machine."""
        return cls(
            Path("/etc/systemd/system"), Path("/etc", NAME, "config.toml"), Path("/var/lib", NAME), False
        )

    @classmethod
    def of_user(cls, environ: Mapping[str, str]) -> Places:
        """For whoever runs this."""
        home = Path(environ.get("HOME") or "~").expanduser()
        config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
        return cls(config / "systemd" / "user", config / NAME / "config.toml", default_path(environ), True)

    @property
    def systemctl(self) -> str:
        """The command that speaks of this service."""
        return "systemctl --user" if self.user else "systemctl"


class Installer:
    """Writes and removes at `places`. With `dry` nothing is done, and `say` tells what would be."""

    def __init__(self, places: Places, say: Say, *, dry: bool = False) -> None:
        self._places = places
        self._say = say
        self._dry = dry

    def install(self, made: Units, *, renewed: bool = False) -> None:
        """Write the units anew, and the configuration if there is none; say what to do next.

        `renewed` says that the program itself is another one now. Raises `InstallFailed`.
        """
        places = self._places
        service = self._write(places.units / SERVICE, made.service, 0o644)
        sockets = self._write(places.units / SOCKET, made.socket, 0o644)
        if os.path.lexists(places.config):
            self._say(f"kept {places.config}")
        else:
            self._write(places.config, made.config, 0o600 if places.user else 0o644)
        if not places.user and places.config.exists() and not places.config.stat().st_mode & stat.S_IROTH:
            self._say(f"the service's user cannot read it: chmod 644 {places.config}")
        self._systemctl("daemon-reload")
        if not self._is_active():
            self._say(f"next: {places.systemctl} enable --now {SOCKET} {SERVICE}")
        elif sockets:
            self._say(f"next: {places.systemctl} restart {SOCKET} {SERVICE}")
        elif service or renewed:
            self._say(f"next: {places.systemctl} restart {SERVICE}")
        else:
            self._say("nothing is to be done: it runs as it is installed")

    def uninstall(self) -> None:
        """Stop the service and remove all that was installed but its state. Raises `InstallFailed`."""
        places = self._places
        service = places.units / SERVICE
        program = program_of(service.read_text()) if service.exists() else None
        if any(os.path.lexists(places.units / unit) for unit in (SERVICE, SOCKET)):
            self._systemctl("disable", "--now", SOCKET, SERVICE)
        for unit in (SERVICE, SOCKET):
            self._remove(places.units / unit)
        if _holds(places.config, first_config(user=places.user)):
            self._remove(places.config)
        else:
            self._keep(places.config, "config.toml")
        for unit in (SERVICE, SOCKET):
            self._keep(places.units / f"{unit}.d", f"{unit}.d")
        self._leave(places.config.parent)
        if program is not None and is_made_for(program.parent.parent, service):
            self._remove(program.parent.parent)
        self._systemctl("daemon-reload")
        self._systemctl("reset-failed", SOCKET, SERVICE, quiet=True)

    @property
    def _state(self) -> Path:
        """The real folder: that of a dynamic user is behind a link."""
        private = self._places.state.parent / "private" / self._places.state.name
        return self._places.state if self._places.user or not private.exists() else private

    def _is_active(self) -> bool:
        if not _RUNNING_SYSTEMD.is_dir():
            return False
        command = [*self._places.systemctl.split(), "is-active", "--quiet", SERVICE]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False)  # noqa: S603
        except (OSError, subprocess.SubprocessError):
            return False
        return done.returncode == 0

    def _write(self, path: Path, text: str, mode: int) -> bool:
        """Whether it was not so before."""
        try:
            if _holds(path, text):
                self._say(f"unchanged {path}")
                return False
            self._say(f"{'would write' if self._dry else 'wrote'} {path}")
            if self._dry:
                return True
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            new = path.with_name(f".{path.name}.new")
            new.unlink(missing_ok=True)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
            with open(descriptor, "w", encoding="utf-8") as file:
                os.fchmod(descriptor, mode)
                file.write(text)
            new.replace(path)
        except OSError as error:
            raise InstallFailed(f"{path} cannot be written: {error.strerror}.") from error
        return True

    def _remove(self, path: Path) -> None:
        if not os.path.lexists(path):
            return
        self._say(f"{'would remove' if self._dry else 'removed'} {path}")
        if self._dry:
            return
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except OSError as error:
            raise InstallFailed(f"{path} cannot be removed: {error.strerror}.") from error

    def _keep(self, path: Path, name: str) -> None:
        """Put what the operator may have written with the state."""
        if not os.path.lexists(path):
            return
        kept = self._state / _KEPT / name
        self._say(f"{'would move' if self._dry else 'moved'} {path} to {kept}")
        if self._dry:
            return
        try:
            self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
            kept.parent.mkdir(mode=0o700, exist_ok=True)
            if kept.is_dir():
                shutil.rmtree(kept)
            shutil.move(path, kept)
        except OSError as error:
            raise InstallFailed(f"{path} cannot be moved to {kept}: {error.strerror}.") from error

    def _leave(self, folder: Path) -> None:
        """Remove the folder unless others have put something there."""
        if not folder.is_dir():
            return
        left = [each for each in folder.iterdir() if each != self._places.config]
        if not left:
            self._remove(folder)
        for each in left:
            self._say(f"left {each}: it was not written by install-service")

    def _systemctl(self, *words: str, quiet: bool = False) -> None:
        if not _RUNNING_SYSTEMD.is_dir():
            if not quiet:
                self._say(
                    f"systemd does not run here, so {self._places.systemctl} {' '.join(words)} was left out"
                )
            return
        command = [*self._places.systemctl.split(), *words]
        if self._dry:
            self._say(f"would run {' '.join(command)}")
            return
        try:
            done = subprocess.run(  # noqa: S603  (our own words)
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise InstallFailed(f"{' '.join(command)} failed: {type(error).__name__}.") from error
        if done.returncode != 0 and not quiet:
            said = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
            self._say(f"{' '.join(command)} failed: {said}")

    def state_left(self) -> Path | None:
        """Where the state is, if there is any."""
        return self._state if self._state.exists() else None


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_bytes() == text.encode()
