"""Where in a TOML text each key stands. The standard library's reader keeps no positions."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

from maestro_daemon.config.shape import Step

_TABLES = {"table", "table_array_element"}
_KEYS = {"bare_key", "quoted_key", "dotted_key"}


class Positions:
    """Lines and columns (from 1, in characters) of the keys of a TOML text that is known to be valid."""

    def __init__(self, text: str) -> None:
        self._bytes = text.encode()
        self._lines = self._bytes.split(b"\n")
        self._known: dict[tuple[Step, ...], tuple[int, int]] = {}
        self._counts: dict[tuple[Step, ...], int] = {}
        root = Parser(Language(tree_sitter_toml.language())).parse(self._bytes).root_node
        self._pairs(root, ())
        for table in root.children:
            if table.type in _TABLES:
                self._table(table)

    def of(self, path: tuple[Step, ...]) -> tuple[int, int]:
        """The line and column of a key, of an array's item, or else of the nearest table around it."""
        while path and path not in self._known:
            path = path[:-1]
        return self._known.get(path, (1, 1))

    def _table(self, table: Node) -> None:
        key = next((child for child in table.children if child.type in _KEYS), None)
        parts = self._parts(key) if key is not None else []
        path: tuple[Step, ...] = ()
        for number, (name, _) in enumerate(parts, start=1):
            path = (*path, name)
            if table.type == "table_array_element" and number == len(parts):
                index = self._counts.get(path, 0)
                self._counts[path] = index + 1
                self._note(path, table)
                path = (*path, index)
                self._note(path, table)
            else:
                self._note(path, table)
                if path in self._counts:
                    path = (*path, self._counts[path] - 1)
        self._pairs(table, path)

    def _pairs(self, parent: Node, path: tuple[Step, ...]) -> None:
        for pair in parent.children:
            # A comment behind the value belongs to the pair, too.
            inside = [child for child in pair.named_children if child.type != "comment"]
            if pair.type != "pair" or len(inside) != 2:
                continue
            at = path
            for name, key in self._parts(inside[0]):
                at = (*at, name)
                self._note(at, key)
            self._value(inside[1], at)

    def _value(self, value: Node, path: tuple[Step, ...]) -> None:
        if value.type == "inline_table":
            self._pairs(value, path)
        elif value.type == "array":
            for index, item in enumerate(self._items(value)):
                self._note((*path, index), item)
                self._value(item, (*path, index))

    @staticmethod
    def _items(array: Node) -> Iterator[Node]:
        return (child for child in array.named_children if child.type != "comment")

    def _parts(self, key: Node) -> list[tuple[str, Node]]:
        """The names of a key that may be dotted, each with its node."""
        if key.type == "dotted_key":
            return [part for child in key.named_children for part in self._parts(child)]
        # The standard library knows every way of quoting.
        text = self._bytes[key.start_byte : key.end_byte].decode()
        return [(next(iter(tomllib.loads(f"{text} = 0"))), key)]

    def _note(self, path: tuple[Step, ...], node: Node) -> None:
        row, column = node.start_point
        before = self._lines[row][:column].decode(errors="replace")
        self._known.setdefault(path, (row + 1, len(before) + 1))
