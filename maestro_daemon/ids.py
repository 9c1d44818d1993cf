"""Ids that nobody can guess: a prefix and random hex digits."""

from __future__ import annotations

import os
from typing import Final

_POOL: Final = 4096


class _Randomness:
    """Random bytes of the system, read some at a time: each read is a system call."""

    def __init__(self) -> None:
        self._bytes = b""
        self._used = 0
        # A child process must not hand out its parent's ids.
        os.register_at_fork(after_in_child=self._forget)

    def take(self, count: int) -> bytes:
        """`count` bytes that were never handed out before."""
        if self._used + count > len(self._bytes):
            self._bytes = os.urandom(_POOL)
            self._used = 0
        taken = self._bytes[self._used : self._used + count]
        self._used += count
        return taken

    def _forget(self) -> None:
        self._bytes = b""


_randomness: Final = _Randomness()


def new_id(prefix: str, size: int = 24) -> str:
    """``PREFIX_`` and twice `size` hex digits."""
    return f"{prefix}_{_randomness.take(size).hex()}"
