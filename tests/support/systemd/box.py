"""A throw-away host with a real systemd as PID 1, and commands run on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.environment import fetching

ROOT: Final = Path(__file__).parent.parent.parent.parent
_BOOT: Final = Path(__file__).with_name("boot.sh")
_SYSTEMD: Final = Path("/lib/systemd/systemd")
_OF_ROOT: Final = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
_OVERLAY: Final = (
    'mount -t tmpfs tmpfs "$0" && mkdir "$0/upper" "$0/work" "$0/root" && '
    'mount -t overlay overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root"'
)
_TOOLS: Final = ("unshare", "nsenter", "pgrep", "mount", "systemctl", "journalctl")


def lacking() -> str | None:
    """Why there can be no box here; None if there can."""
    if os.geteuid() != 0:
        return "a host with a systemd of its own needs root"
    if not _SYSTEMD.exists():
        return "systemd is missing: install it with: sudo apt-get install systemd"
    for tool in _TOOLS:
        if shutil.which(tool) is None:
            return f"{tool} is missing: install it with: sudo apt-get install util-linux procps systemd"
    with tempfile.TemporaryDirectory() as folder:
        for command, reason in (
            ("true", "no namespaces can be made here"),
            (_OVERLAY, "no overlay can be made"),
        ):
            words = ["unshare", "--mount", "--pid", "--cgroup", "--fork", "sh", "-c", command, folder]
            tried = subprocess.run(words, capture_output=True, check=False)
            if tried.returncode != 0:
                return reason
    return None


class Box:
    """A running host. What is run in there sees of this machine's environment only how to fetch packages."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._environ = {**fetching(), "LANG": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
        self._environ["PATH"] = f"{self._environ['PATH']}:{_OF_ROOT}"

    def run(self, *command: str | Path, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        """Run a command in there to its end."""
        return subprocess.run(
            self.command(*command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            cwd="/",
            env=self._environ,
            umask=0o022,
        )

    def command(self, *command: str | Path) -> list[str | Path]:
        """The words that run it in there."""
        return ["nsenter", "-t", str(self._pid), "-m", "-p", "-C", "-i", "-u", "--wd=/", *command]

    def did(self, *command: str | Path, timeout: float = 180) -> str:
        """Run a command that must succeed; what it said on stdout."""
        done = self.run(*command, timeout=timeout)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def write(self, path: str, text: str, mode: str = "0644") -> None:
        """Write a file in there."""
        subprocess.run(
            self.command("install", "-D", "-m", mode, "/dev/stdin", path),
            input=text,
            text=True,
            check=True,
            env=self._environ,
            umask=0o022,
        )

    def read(self, path: str) -> str:
        """What is in a file in there."""
        return self.did("cat", path)

    def shown(self, unit: str, *properties: str) -> dict[str, str]:
        """Properties of a unit."""
        told = self.did("systemctl", "show", unit, *(f"--property={name}" for name in properties))
        return dict(line.split("=", 1) for line in told.splitlines())

    def journal(self, *words: str) -> str:
        """What the journal holds now; `words` are further ones of journalctl."""
        self.did("journalctl", "--sync")
        return self.run("journalctl", "--no-pager", *words).stdout

    def until(self, happened: Callable[[], bool], what: str, seconds: float = 180) -> None:
        """Look again and again until it happened; fails when it did not."""
        ends = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < ends, f"{what}\n{self.journal('-n', '60')}"
            time.sleep(0.05)


@contextmanager
def box(folder: Path, shared: Sequence[Path] = ()) -> Iterator[Box]:
    """Run a host until the block ends. `folder` is for its own use, `shared` ones are the real ones."""
    places = {ROOT, Path(sys.prefix), Path(sys.base_prefix), *shared}
    with (folder / "errors").open("w") as errors:
        process = subprocess.Popen(
            [_BOOT, folder, *sorted(places)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**fetching(), "LANG": "C.UTF-8"},
        )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        said = process.stdout.readline().split()
        assert said[:1] == ["PID"], (folder / "errors").read_text()
        yield Box(int(said[1]))
    finally:
        process.stdin.close()
        process.wait(120)
        process.stdout.close()
