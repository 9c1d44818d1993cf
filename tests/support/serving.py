"""The daemon as a user runs it: a process of its own, started from a configuration file."""

from __future__ import annotations

import asyncio
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

INSTALLED: Final = Path(sys.executable).with_name("maestro-daemon")


@contextmanager
def serving(config: str, folder: Path, *, program: Path = INSTALLED) -> Iterator[str]:
    """Serve the TOML `config` from `folder` until the block ends; gives the base URL that was printed.

    Nothing of the user's own environment is seen by the daemon. It must begin within 30 s, and end with
    status 0 and without a traceback within 20 s of SIGTERM. Blocks; `serving_beside` does not.
    """
    file = folder / "maestro.toml"
    file.touch(mode=0o600)
    file.write_text(config)
    log = folder / "daemon.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [program, "serve", "--config", file],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    assert process.stdout is not None
    try:
        yield _base_url(process.stdout.fileno(), log)
        process.terminate()
        assert process.wait(20) == 0, log.read_text()
        assert "Traceback" not in log.read_text(), log.read_text()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@asynccontextmanager
async def serving_beside(config: str, folder: Path) -> AsyncIterator[str]:
    """`serving` for tests whose upstreams live on the running loop."""
    daemon = serving(config, folder)
    url = await asyncio.to_thread(daemon.__enter__)
    try:
        yield url
    finally:
        await asyncio.to_thread(daemon.__exit__, None, None, None)


def _base_url(stdout: int, log: Path) -> str:
    """The first line of its own that is a URL."""
    printed = b""
    ends = time.monotonic() + 30
    while not (found := re.search(rb"^(http://\S+/v1)\n", printed, re.MULTILINE)):
        readable, _, _ = select.select([stdout], [], [], max(0.0, ends - time.monotonic()))
        piece = os.read(stdout, 65536) if readable else b""
        assert piece, f"serve printed no base URL but {printed!r}:\n{log.read_text()}"
        printed += piece
    return found[1].decode()
