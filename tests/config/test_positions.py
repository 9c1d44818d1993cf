"""Each key of a TOML text has its line and column."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_daemon.config import toml_text
from maestro_daemon.config.positions import Positions
from maestro_daemon.config.shape import Step

TEXT = """\
top = 1
[server]
port = 1
  deep = 2
tls.cert = "x"
[ providers . "my home" ]
"kind" = 'a'
"größe" = { 'a b' = [1, [2,
   3], { x = 1 }] } # comment
[[things]]
a = 1
[[things]]
a = 2
[things.inner]
b = 3
[[things.list]]
c = 4
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("top",), (1, 1)),
        (("server",), (2, 1)),
        (("server", "port"), (3, 1)),
        (("server", "deep"), (4, 3)),
        (("server", "tls"), (5, 1)),
        (("server", "tls", "cert"), (5, 5)),
        (("providers",), (6, 1)),
        (("providers", "my home"), (6, 1)),
        (("providers", "my home", "kind"), (7, 1)),
        (("providers", "my home", "größe", "a b"), (8, 13)),
        (("providers", "my home", "größe", "a b", 0), (8, 22)),
        (("providers", "my home", "größe", "a b", 1, 1), (9, 4)),
        (("providers", "my home", "größe", "a b", 2, "x"), (9, 10)),
        (("things", 0, "a"), (11, 1)),
        (("things", 1), (12, 1)),
        (("things", 1, "a"), (13, 1)),
        (("things", 1, "inner", "b"), (15, 1)),
        (("things", 1, "list", 0, "c"), (17, 1)),
    ],
)
def test_where_a_key_stands(path: tuple[Step, ...], place: tuple[int, int]) -> None:
    assert Positions(TEXT).of(path) == place


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("server", "missing"), (2, 1)),
        (("server", "tls", "missing"), (5, 1)),
        (("missing",), (1, 1)),
        ((), (1, 1)),
    ],
)
def test_a_missing_key_has_the_place_of_its_table(path: tuple[Step, ...], place: tuple[int, int]) -> None:
    assert Positions(TEXT).of(path) == place


def test_line_ends_of_windows_count_once() -> None:
    assert Positions("[a]\r\nb = 1\r\nc = 2\r\n").of(("a", "c")) == (3, 1)


def paths(value: Any, path: tuple[Step, ...] = ()) -> Iterator[tuple[Step, ...]]:
    if path:
        yield path
    if isinstance(value, dict):
        for name, each in value.items():
            yield from paths(each, (*path, name))
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from paths(each, (*path, index))


KEYS = st.text(st.characters(codec="utf-8"), max_size=4)
VALUES = st.recursive(
    st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=3), max_size=4))
def test_whatever_is_written_is_read_back_and_every_key_is_found(document: dict[str, Any]) -> None:
    text = "\n".join(toml_text.table((name,), values) for name, values in document.items())
    read = tomllib.loads(text)
    assert read == document
    positions = Positions(text)
    places = {path: positions._known[path] for path in paths(read)}
    for (name, key), place in ((path, place) for path, place in places.items() if len(path) == 2):
        line = text.split("\n")[place[0] - 1]
        assert line[place[1] - 1 :].startswith(toml_text.key(str(key)))
        assert places[name,] < place
