"""The documents of the repository: their fenced blocks, tables and links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent
README: Final = ROOT / "README.md"
PAGES: Final = (README, *sorted((ROOT / "docs").glob("*.md")), ROOT / "CHANGELOG.md")
BASE_URL: Final = "http://127.0.0.1:8787/v1"
"""Where the documents say that the daemon serves."""

_FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str, *, holding: str = "") -> list[str]:
    """The fenced blocks of that language that hold the text, in order; there must be at least one."""
    found = [text for kind, text in _FENCE.findall(page.read_text()) if kind == language and holding in text]
    assert found, f"{page.name} has no {language} block holding {holding!r}"
    return found


def block(page: Path, language: str, *, holding: str = "") -> str:
    """The one such block."""
    (found,) = blocks(page, language, holding=holding)
    return found


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def commands(shell: str) -> list[str]:
    """The commands of a shell block, one each, continued lines joined."""
    lines = shell.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def rows(page: Path, heading: str) -> list[list[str]]:
    """The cells of every table below that heading, up to the next one, without headers."""
    below = re.split(rf"^#+ {re.escape(heading)}$", page.read_text(), flags=re.MULTILINE)[1]
    section = re.split(r"^#+ ", below, maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [
        [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines
    ]
    rules = {index for index, row in enumerate(cells) if set("".join(row)) <= {"-", ":"}}
    return [row for index, row in enumerate(cells) if index not in rules and index + 1 not in rules]
