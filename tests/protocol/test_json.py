"""JSON from outside: read exactly or refused, and written again as it was."""

from __future__ import annotations

import json as stdlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_daemon.errors import RequestInvalid
from maestro_daemon.protocol import json
from maestro_daemon.protocol.json import JSONInvalid

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), inner)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_any_value_survives_writing_and_reading(value: object) -> None:
    assert json.loads(json.dumps(value)) == value


@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_any_json_text_is_read_as_the_standard_library_reads_it(
    value: object, ascii: bool, indent: int | None
) -> None:
    text = stdlib.dumps(value, ensure_ascii=ascii, indent=indent).encode()
    assert json.loads(text) == value


@pytest.mark.parametrize(
    "number",
    [
        2**63 - 1,
        2**63,
        2**64 - 1,
        2**64,
        2**64 + 1,
        10**40,
        -(2**63),
        -(2**63) - 1,
        -(10**19),
        -(2**64),
        -(10**40),
    ],
)
@pytest.mark.parametrize("around", ["%d", "[%d]", '{"a":%d}', '{"a": %d }', "[1,\n%d\n]", '["%d",%d]'])
def test_integers_of_any_size_stay_integers(number: int, around: str) -> None:
    text = (around.replace("%d", str(number))).encode()
    read = json.loads(text)
    assert read == stdlib.loads(text)
    assert str(number) in json.dumps(read).decode()


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (rb'"\ud800"', "\N{REPLACEMENT CHARACTER}"),
        (rb'"\udc00\ud800"', "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"a\ud83d"', "a\N{REPLACEMENT CHARACTER}"),
        (rb'{"\uDBFF": ["\ud83d", {"b": "\uDFFFx"}]}', {"\ufffd": ["\ufffd", {"b": "\ufffdx"}]}),
    ],
)
def test_an_unpaired_surrogate_becomes_the_replacement_character(text: bytes, read: object) -> None:
    assert json.loads(text) == read


def test_unpaired_surrogates_are_kept_where_the_other_half_may_follow() -> None:
    assert json.loads(rb'{"a": "\ud83d"}', keep_surrogates=True) == {"a": "\ud83d"}


def test_unpaired_surrogates_are_written_as_the_replacement_character() -> None:
    written = json.dumps({"\ud800": ["a\udc00", "\ud83d", "\ude00", 2**70]})
    assert json.loads(written) == {"\ufffd": ["a\ufffd", "\ufffd", "\ufffd", 2**70]}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b"NaN",
        b"[Infinity]",
        b'{"a": -Infinity}',
        b"[1e400]",
        b"[1,]",
        b"{} {}",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'\xff\xfe"\x00a\x00"\x00',
        b"\x00",
        b"[" * 5000 + b"]" * 5000,
        b'{"a":' * 100_000,
        b"9" * 5000,
    ],
    ids=lambda text: repr(text[:20]),
)
def test_what_is_no_json_is_refused_in_one_sentence(text: bytes) -> None:
    with pytest.raises(JSONInvalid) as refused:
        json.loads(text)
    error = refused.value
    assert isinstance(error, RequestInvalid)
    assert (error.status, error.code, error.type) == (400, "invalid_json", "invalid_request_error")
    assert error.message.endswith(".")
    assert "\n" not in error.message
    assert len(error.message) < 300


def test_a_byte_that_is_not_utf_8_is_named_by_its_place() -> None:
    with pytest.raises(JSONInvalid, match="byte 7"):
        json.loads(b'{"a": "\xff"}')


@pytest.mark.parametrize("depth", [100, 300, 600])
@pytest.mark.parametrize("leaf", [b"1", b'"a"', b"18446744073709551616"])
def test_what_nests_deeply_is_written_as_it_was_read(depth: int, leaf: bytes) -> None:
    text = b"[" * depth + leaf + b"]" * depth
    assert json.dumps(json.loads(text)) == text


def test_what_nests_too_deeply_to_be_written_is_refused_by_name() -> None:
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(JSONInvalid, match="nested too deeply"):
        json.dumps(value)


def test_what_json_cannot_say_is_not_written() -> None:
    with pytest.raises(TypeError):
        json.dumps({"a": object()})
    with pytest.raises(ValueError):
        json.dumps([2**70, math.inf])


@pytest.mark.parametrize("leaf", [b"18446744073709551616", b'"\\ud800"'])
def test_how_deep_json_may_nest_is_said_by_a_number(monkeypatch: pytest.MonkeyPatch, leaf: bytes) -> None:
    monkeypatch.setattr(json, "_DEEPEST", 300)
    allowed, deeper = (b"[" * depth + leaf + b"]" * depth for depth in (300, 301))
    value = json.loads(allowed)
    json.dumps(value)
    with pytest.raises(JSONInvalid, match="nested too deeply"):
        json.loads(deeper)
    with pytest.raises(JSONInvalid, match="nested too deeply"):
        json.dumps([value])
