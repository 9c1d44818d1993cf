"""Questions about processes that are not our children."""

from __future__ import annotations

import os
import select
from pathlib import Path


def gone(pid: int) -> bool:
    """Whether no process of that number runs (a zombie does not run)."""
    try:
        status = Path("/proc", str(pid), "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] in {"Z", "X"}


def children(pid: int) -> list[int]:
    """The processes that this one started and that were not waited for yet."""
    return [
        int(child)
        for task in Path("/proc", str(pid), "task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def wait_until_gone(pid: int) -> None:
    """Return once no process of that number runs; the test's own timeout bounds it."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.poll()
    finally:
        os.close(handle)
