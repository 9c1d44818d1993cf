"""What commands print: tables and colours on a terminal, plain text in a pipe, JSON for scripts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
import orjson

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: cells under their columns; a None is shown as a dash."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def cells(self) -> list[list[str]]:
        """The rows as printable text."""
        return [[printable("-" if cell is None else str(cell)) for cell in row] for row in self.rows]


_STYLES = {"closed": "green", "half_open": "yellow", "open": "red"}

Page = Sequence[str | Grid]
"""Lines and tables, in order."""


def json(document: Any) -> None:
    """Print an object as indented JSON."""
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode())


def json_line(document: Any) -> None:
    """Print an object as JSON on one line."""
    click.echo(orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS).decode())


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under their columns; a None is shown as a dash. Colours and width only on a terminal."""
    show([Grid(columns, list(rows))])


def show(page: Page) -> None:
    """Print lines and tables. Colours and width only on a terminal."""
    for part in page:
        if isinstance(part, str):
            click.echo(part)
        elif sys.stdout.isatty():
            _print_rich(part)
        else:
            _print_plain(part)


def watch(page: Callable[[], Page], interval: float) -> None:
    """Show what `page` gives, every `interval` seconds anew, until Ctrl-C or until it raises.

    On a terminal it takes the whole screen; elsewhere the pages follow each other.
    """
    if not sys.stdout.isatty():
        while True:
            show(page())
            click.echo()
            time.sleep(interval)
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    def drawn() -> Group:
        return Group(*(Text(part) if isinstance(part, str) else _rich_table(part) for part in page()))

    with Live(drawn(), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            live.update(drawn(), refresh=True)


def printable(text: str) -> str:
    """The text on one line, without anything that moves a terminal's cursor."""
    return "".join(each if each.isprintable() else " " for each in text)


def _print_plain(grid: Grid) -> None:
    cells = grid.cells()
    widths = [max(len(row[index]) for row in [grid.columns, *cells]) for index in range(len(grid.columns))]
    for row in [[column.upper() for column in grid.columns], *cells]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_rich(grid: Grid) -> None:
    from rich.console import Console

    Console(soft_wrap=False).print(_rich_table(grid))


def _rich_table(grid: Grid) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for number, column in enumerate(grid.columns):
        shown.add_column(column, style="cyan" if number == 0 else None, overflow="fold")
    for row in grid.cells():
        # As Text, since names from outside may hold what rich takes for markup.
        shown.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    return shown
