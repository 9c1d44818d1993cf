"""A command at a real terminal: a pty that is its controlling one, so that Ctrl-C is typed and not sent."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PATIENCE: Final = 30.0
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\]8;[^\x1b]*\x1b\\")
_AT_TERMINAL: Final = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A running command and what it has shown. Every method blocks, for half a minute at most."""

    def __init__(self, process: subprocess.Popen[bytes], leader: int) -> None:
        self.process = process
        self.raw = ""
        self._leader = leader

    @property
    def shown(self) -> str:
        """What people see, without colours."""
        return _ESCAPES.sub("", self.raw).replace("\r\n", "\n")

    def until(self, text: str) -> str:
        """Wait until `text` is shown."""
        ends = time.monotonic() + _PATIENCE
        while text not in self.shown:
            assert self._read(ends), f"{text!r} never came:\n{self.shown}"
        return self.shown

    def type(self, keys: str) -> None:
        """Press keys; ``"\\x03"`` is Ctrl-C."""
        os.write(self._leader, keys.encode())

    def end(self) -> int:
        """Wait for the command's end; its exit status."""
        ends = time.monotonic() + _PATIENCE
        while self._read(ends):
            pass
        return self.process.wait(_PATIENCE)

    def hang_up(self) -> None:
        """Close the terminal."""
        if self._leader >= 0:
            os.close(self._leader)
            self._leader = -1

    def _read(self, ends: float) -> bool:
        """Take what comes next; False when the terminal is closed."""
        readable, _, _ = select.select([self._leader], [], [], max(0.0, ends - time.monotonic()))
        assert readable, f"nothing more came:\n{self.shown}"
        try:
            piece = os.read(self._leader, 65536)
        except OSError:  # Linux says so when nobody has the other end any more
            return False
        self.raw += piece.decode(errors="replace")
        return bool(piece)


@contextmanager
def at_terminal(
    command: Sequence[str | Path], *, cwd: Path, environ: Mapping[str, str]
) -> Iterator[Terminal]:
    """Run a command at a terminal of 200 columns; it is killed with the block."""
    leader, follower = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", _AT_TERMINAL, *command],
            cwd=cwd,
            env={"TERM": "xterm-256color", "COLUMNS": "200", **environ},
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        )
    finally:
        os.close(follower)
    terminal = Terminal(process, leader)
    try:
        yield terminal
    finally:
        process.kill()
        process.wait()
        terminal.hang_up()
