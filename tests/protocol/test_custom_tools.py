from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_daemon.protocol.custom_tools import (
    OTHER_KEYS,
    InputUnwrapper,
    described_grammar,
    input_schema,
    wrap_input,
)

PATCH = '*** Begin Patch\n*** Add File: a.txt\n+"hi" \\ there\t😀\n*** End Patch\n'


def pieces(arguments: str, size: int) -> list[str]:
    unwrapper = InputUnwrapper()
    said = [unwrapper.feed(arguments[at : at + size]) for at in range(0, len(arguments), size)]
    return [*said, unwrapper.close()]


def unwrapped(arguments: str) -> str:
    """The input, proven to be the same for every size of pieces."""
    whole = "".join(pieces(arguments, len(arguments) or 1))
    for size in range(1, len(arguments)):
        assert "".join(pieces(arguments, size)) == whole
    return whole


def test_wrapped_input_is_the_one_string_of_an_object() -> None:
    assert json.loads(wrap_input(PATCH)) == {"input": PATCH}
    assert input_schema()["required"] == ["input"]


@given(st.text(), st.booleans(), st.data())
def test_any_input_in_any_split_comes_back(text: str, ascii_only: bool, data: st.DataObject) -> None:
    arguments = json.dumps({"input": text}, ensure_ascii=ascii_only)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(arguments)), max_size=8)))
    unwrapper = InputUnwrapper()
    edges = [0, *cuts, len(arguments)]
    said = [unwrapper.feed(arguments[start:end]) for start, end in pairwise(edges)]
    assert "".join(said) == text, "all of it is known once the closing brace came"
    assert unwrapper.close() == ""


@given(st.text())
def test_any_other_text_gives_the_same_in_every_split(arguments: str) -> None:
    unwrapped(arguments)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["input", "patch", "x"]), inner),
        max_leaves=4,
    )
)
def test_any_json_gives_the_same_in_every_split(value: object) -> None:
    unwrapped(json.dumps(value))


def test_the_input_streams_as_soon_as_its_string_is_open() -> None:
    unwrapper = InputUnwrapper()
    assert unwrapper.feed('{ "inp') == ""
    assert unwrapper.feed('ut" :\n "*** Be') == "*** Be"
    assert unwrapper.feed("gin\\") == "gin"
    assert unwrapper.feed("nPatch") == "\nPatch"


@pytest.mark.parametrize("space", ["", " ", "\n\t "])
def test_white_space_around_the_tokens_does_not_matter(space: str) -> None:
    assert unwrapped(space.join(["", "{", '"input"', ":", '"a b"', "}", ""])) == "a b"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"\"\\\/\b\f\n\r\t", '"\\/\b\f\n\r\t'),
        (r"\u00e9\u20ac", "é€"),
        (r"\ud83d\ude00", "😀"),
        (r"\uD83D\uDE00", "😀"),
        (r"\ud83d", "\ufffd"),
        (r"\ud83dx", "\ufffdx"),
        (r"\ud83d\n", "\ufffd\n"),
        (r"\ud83d\u0041", "\ufffdA"),
        (r"\ud83d\ud83d\ude00", "\ufffd😀"),
        (r"\ude00", "\ufffd"),
        (r"\d+ \q", r"\d+ \q"),
        (r"\u12G4 \uz", r"\u12G4 \uz"),
        ("line\nbreak\ttab", "line\nbreak\ttab"),
    ],
)
def test_escapes_are_decoded_and_what_json_does_not_know_stands_for_itself(written: str, meant: str) -> None:
    assert unwrapped(f'{{"input":"{written}"}}') == meant


def test_a_string_that_was_cut_gives_what_came() -> None:
    assert unwrapped('{"input":"*** Begin') == "*** Begin"
    assert unwrapped('{"input":"a\\') == "a"
    assert unwrapped('{"input":"a\\u12') == "a"
    assert unwrapped('{"input":"a\\ud83d') == "a\ufffd"


def test_what_follows_the_string_is_ignored() -> None:
    assert unwrapped('{"input":"a","why":"b"} and more') == "a"


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "   ",
        "*** Begin Patch\n+x",
        "{ const x = 1 }",
        "{}",
        "[1]",
        "null",
        '{"input":3}',
        '{"input":null}',
        '{"input":["a"]}',
        '{"inp',
        '{"city":"Paris"}',
        '{"patch":"a","path":"b"}',
        '{"patch":"cut',
        '"no end',
    ],
)
def test_arguments_of_any_other_shape_are_the_input_as_they_are(arguments: str) -> None:
    assert unwrapped(arguments) == arguments


def test_raw_input_streams_once_it_can_be_nothing_else() -> None:
    assert pieces("*** Begin", 3) == ["***", " Be", "gin", ""]
    assert pieces("{ const", 3)[:2] == ["{ c", "ons"]


@pytest.mark.parametrize("key", sorted(OTHER_KEYS))
def test_another_usual_key_is_taken_for_input_if_it_is_the_only_one(key: str) -> None:
    assert unwrapped(json.dumps({key: PATCH})) == PATCH


def test_input_is_found_behind_other_keys() -> None:
    assert unwrapped(json.dumps({"reason": "because", "input": PATCH})) == PATCH


def test_a_json_string_is_its_own_value() -> None:
    assert unwrapped(json.dumps(PATCH)) == PATCH


def test_halves_of_surrogate_pairs_become_replacement_characters_where_the_input_was_held() -> None:
    assert unwrapped('{"patch":"a\\ud83d"}') == "a\ufffd"


def test_a_deeply_nested_value_is_raw_text() -> None:
    arguments = '{"patch":' * 200_000
    assert "".join(pieces(arguments, len(arguments))) == arguments


def test_endless_white_space_is_held_and_the_input_behind_it_found() -> None:
    assert "".join(pieces(" " * 10_000 + '{"input":"a"}', 100)) == "a"
    assert "".join(pieces(" " * 10_000, 100)) == " " * 10_000


def test_the_grammar_stands_in_the_description() -> None:
    form = {"type": "grammar", "syntax": "lark", "definition": "start: begin_patch"}
    said = described_grammar("Edits files.", form)
    assert said.startswith("Edits files.\n\n")
    assert "lark" in said
    assert said.endswith("start: begin_patch")


@pytest.mark.parametrize("form", [None, {"type": "text"}, {"type": "grammar"}, {}])
def test_without_a_grammar_the_description_is_the_tools_own(form: dict[str, str] | None) -> None:
    assert described_grammar("Edits files.", form) == "Edits files."
