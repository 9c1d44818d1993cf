"""Counting what is refused before any target is looked for: no key, no such path, no HTTP."""

from __future__ import annotations


class Refusals:
    """`counts` by HTTP status and the error's code."""

    def __init__(self) -> None:
        self.counts: dict[tuple[int, str], int] = {}

    def add(self, http_status: int, code: str | None) -> None:
        """One more; the code is one of the house's own."""
        key = (http_status, code or "")
        self.counts[key] = self.counts.get(key, 0) + 1
