"""What a check says: that the contract is broken, or that it cannot be tried here."""

from __future__ import annotations

from typing import Final

PAGE: Final = "docs/plugins.md"


class Breach(AssertionError):
    """The contract is broken: what it `wants`, what was `found` instead, and the page's `section` for it.

    `section` is the anchor of a heading of docs/plugins.md.
    """

    def __init__(self, wants: str, found: str, section: str) -> None:
        super().__init__(f"The contract wants: {wants}\nFound: {found}\nIt is written in {PAGE}#{section}")
        self.wants = wants
        self.found = found
        self.section = section


class Inapplicable(Exception):
    """The scenario cannot be played here; the message says why, and the check is shown as skipped."""
