"""What a check says: that the contract is broken, or that it cannot be tried here."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

for _needed in ("blockbuster", "openai", "pytest"):
    if find_spec(_needed) is None:
        raise ImportError(
            f"maestro_daemon.testing needs {_needed}: install it with: pip install 'maestro-daemon[testing]'"
        )

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
