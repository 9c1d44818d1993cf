"""The program as a user starts it: a process with an environment of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

PROGRAM: Final = Path(sys.executable).with_name("maestro-daemon")


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
        """Run a command to its end."""
        return subprocess.run(
            [PROGRAM, *arguments],
            cwd=self.folder,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    @contextmanager
    def serve(self, *arguments: str, **environ: str) -> Iterator[Daemon]:
        """Run ``serve`` until the block ends."""
        with (self.folder / "stderr").open("w") as log:
            process = subprocess.Popen(
                [PROGRAM, "serve", *arguments],
                cwd=self.folder,
                env={**self.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            yield Daemon(process, self.folder / "stderr")
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


class Daemon:
    """A running ``serve``."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def stdout(self) -> IO[str]:
        """What it prints."""
        assert self.process.stdout is not None
        return self.process.stdout

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
