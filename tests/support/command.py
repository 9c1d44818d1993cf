"""The program as a user starts it: a process with an environment of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from tests.support.warm_program import WarmProcess, WarmProgram

PROGRAM: Final = Path(sys.executable).with_name("maestro-daemon")
_PATIENCE: Final = 50
_PLAIN: Final = frozenset({"PATH", "HOME", "XDG_RUNTIME_DIR"})
_WARM: Final = WarmProgram(PROGRAM, {"PATH": os.environ["PATH"]})


class Place:
    """A folder that is home, runtime directory and working directory of the commands run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ: dict[str, str] = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
        }

    @property
    def socket(self) -> Path:
        """The control socket of a daemon started here."""
        return self.folder / "maestro-daemon" / "control.sock"

    def write(self, text: str, name: str = "maestro.toml") -> Path:
        """Write a private file."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end.

        Where the environment holds no more than a place has, the process is one that begins with the program
        already imported: a variable may concern Python itself, or be read as something is imported.
        """
        whole = {**self.environ, **environ}
        if whole.keys() == _PLAIN:
            return _WARM.run(arguments, cwd=self.folder, environ=whole, timeout=_PATIENCE)
        return subprocess.run(
            [PROGRAM, *arguments],
            cwd=self.folder,
            env=whole,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )

    @contextmanager
    def serve(self, *arguments: str, **environ: str) -> Iterator[Daemon]:
        """Run ``serve`` until the block ends, in a process like those of `run`."""
        whole = {**self.environ, **environ}
        reading, writing = os.pipe()
        with open(reading) as stdout:
            try:
                with (self.folder / "stderr").open("w") as log:
                    process = self._started(("serve", *arguments), whole, stdout=writing, stderr=log.fileno())
            finally:
                os.close(writing)
            try:
                yield Daemon(process, stdout, self.folder / "stderr")
            finally:
                process.kill()
                process.wait()

    def _started(
        self, arguments: Sequence[str], environ: Mapping[str, str], *, stdout: int, stderr: int
    ) -> subprocess.Popen[bytes] | WarmProcess:
        if environ.keys() == _PLAIN:
            return _WARM.start(arguments, cwd=self.folder, environ=environ, stdout=stdout, stderr=stderr)
        return subprocess.Popen(
            [PROGRAM, *arguments],
            cwd=self.folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )


class Daemon:
    """A running ``serve``."""

    def __init__(self, process: subprocess.Popen[bytes] | WarmProcess, stdout: IO[str], log: Path) -> None:
        self.process = process
        self.stdout = stdout
        self._log = log

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text()

    def lines_until(self, beginning: str) -> list[str]:
        """The lines that it prints, up to and with the first that begins so."""
        lines = []
        for line in self.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith(beginning):
                return lines
        raise AssertionError(f"serve ended without a line {beginning!r}: {lines}\n{self.log}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(20)
