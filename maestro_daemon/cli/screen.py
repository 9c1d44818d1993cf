"""What commands print: tables and colours on a terminal, plain text in a pipe, JSON for scripts."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
import orjson


def json(document: Any) -> None:
    """Print an object as indented JSON."""
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode())


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under their columns; a None is shown as a dash. Colours and width only on a terminal."""
    cells = [[printable("-" if cell is None else str(cell)) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _rich_table(columns, cells)
        return
    widths = [max(len(row[index]) for row in [columns, *cells]) for index in range(len(columns))]
    for row in [[column.upper() for column in columns], *cells]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def printable(text: str) -> str:
    """The text on one line, without anything that moves a terminal's cursor."""
    return "".join(each if each.isprintable() else " " for each in text)


def _rich_table(columns: Sequence[str], cells: Iterable[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for number, column in enumerate(columns):
        shown.add_column(column, style="cyan" if number == 0 else None, overflow="fold")
    for row in cells:
        # As Text, since names from outside may hold what rich takes for markup.
        shown.add_row(*(Text(cell) for cell in row))
    Console(soft_wrap=False).print(shown)
