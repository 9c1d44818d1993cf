"""The SSE decoder against a reader of whole texts, for any text and any split; and the frames back."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_daemon.protocol import sse
from maestro_daemon.protocol.sse import Decoder, Record, RecordTooLarge


def read_whole(text: bytes) -> list[Record]:
    """What the HTML standard makes of a whole text, line by line; an unfinished last record counts too."""
    records = []
    event, data = "", []
    for line in [*re.split(rb"\r\n|\r|\n", text.removeprefix(b"\xef\xbb\xbf")), b""]:
        if not line:
            if data:
                records.append((event, b"\n".join(data)))
            event, data = "", []
            continue
        field, colon, value = line.partition(b":")
        if colon and value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            data.append(value)
        elif field == b"event":
            event = value.decode("utf-8", "replace")
    return records


def decode(chunks: list[bytes]) -> list[Record]:
    decoder = Decoder()
    records = [record for chunk in chunks for record in decoder.feed(chunk)]
    return records + decoder.close()


def decode_runs(chunks: list[bytes]) -> list[Record]:
    decoder = Decoder()
    records = [(name, each) for chunk in chunks for name, run in decoder.runs(chunk) for each in run]
    return records + [record for record in decoder.close() if record[1]]


def split(text: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[start:end] for start, end in pairwise(places)]


LINES = st.sampled_from(
    [
        b"",
        b"data: {}",
        b"data:x",
        b"data",
        b"data: ",
        b"data:  two",
        b"data: [DONE]",
        b"data: \xc3\xa4\xf0\x9f\x98\x80",
        b"event: response.created",
        b"event: a.delta",
        b"event: a.delta",
        b"data: 1",
        b"data: 2",
        b"event:e",
        b"event",
        b": comment",
        b":",
        b"id: 7",
        b"retry: 10",
        b"dat: no",
        b"\xef\xbb\xbfdata: late mark",
    ]
)
ENDS = st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    lines = draw(st.lists(st.tuples(LINES, ENDS), max_size=25))
    text = b"".join(line + end for line, end in lines)
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text + draw(st.sampled_from([b"", b"data: cut"]))


@given(texts(), st.lists(st.integers(0, 10_000), max_size=30))
def test_any_split_of_any_text_gives_the_records_of_the_whole(text: bytes, cuts: list[int]) -> None:
    assert decode(split(text, cuts)) == read_whole(text)


DELTAS = st.lists(
    st.sampled_from(
        [
            b"event: a.delta\n",
            b"event: b.delta\n",
            b"data: 1\n",
            b"data:2\n",
            b"id: .delta\n",
            b"\n",
            b"\n",
            b"event: a.delta\ndata: 3\n\n",
        ]
    ),
    max_size=20,
).map(b"".join)


@given(st.one_of(texts(), DELTAS), st.lists(st.integers(0, 10_000), max_size=6))
def test_records_come_in_runs_as_they_come_one_by_one(text: bytes, cuts: list[int]) -> None:
    assert decode_runs(split(text, cuts)) == [record for record in read_whole(text) if record[1]]


@pytest.mark.parametrize("around", [b"", b"event: a\ndata: 0\n\n", b"data: 0\n\n"])
def test_deltas_that_follow_each_other_come_together(around: bytes) -> None:
    deltas = b"".join(b"event: a.delta\ndata: %d\n\n" % number for number in range(1, 4))
    runs = Decoder().runs(around + deltas + around)
    assert ("a.delta", [b"1", b"2", b"3"]) in runs
    assert len(runs) == (1 if not around else 3)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=20))
def test_any_bytes_give_the_records_of_the_whole(text: bytes, cuts: list[int]) -> None:
    assert decode(split(text, cuts)) == read_whole(text)


@given(texts())
def test_single_bytes_and_empty_reads_give_the_same_records(text: bytes) -> None:
    chunks = [part for byte in text for part in (bytes([byte]), b"")]
    assert decode(chunks) == read_whole(text)


@given(st.lists(st.tuples(st.lists(LINES, max_size=4), ENDS), max_size=8))
def test_reads_that_end_where_records_end_give_the_same_records(
    blocks: list[tuple[list[bytes], bytes]],
) -> None:
    chunks = [b"".join(line + end for line in [*lines, b""]) for lines, end in blocks]
    assert decode(chunks) == read_whole(b"".join(chunks))


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_record_is_handed_out_with_the_last_byte_of_its_empty_line(end: bytes) -> None:
    decoder = Decoder()
    assert decoder.feed(b"data: 1" + end) == []
    assert decoder.feed(end[:1]) == [("", b"1")]
    assert decoder.feed(end[1:] + b"data: 2" + end + end) == [("", b"2")]


def test_a_read_with_several_records_gives_them_all() -> None:
    assert Decoder().feed(b"event: a\ndata: 1\n\n: note\n\nevent: b\ndata: 2\ndata: 3\n\ndata") == [
        ("a", b"1"),
        ("b", b"2\n3"),
    ]


def test_a_record_may_be_as_large_as_the_limit() -> None:
    decoder = Decoder(limit=100)
    assert decoder.feed(b"data: " + b"x" * 94) == []
    assert decoder.feed(b"\n\n") == [("", b"x" * 94)]


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("filler", [b"x", b"\r", b": \n"])
def test_an_unfinished_record_beyond_the_limit_is_refused(size: int, filler: bytes) -> None:
    decoder = Decoder(limit=100)
    text = b"data: " + (filler if filler != b"\r" else b"y\r") * 100
    with pytest.raises(RecordTooLarge, match="100 bytes"):
        [decoder.feed(text[start : start + size]) for start in range(0, len(text), size)]


@pytest.mark.parametrize("before", [b"", b"event: a\nid: 1\n", b"event: a\ndata: 1\n\nevent: b c\n"])
def test_data_that_names_events_very_often_is_read_as_fast_as_any(before: bytes) -> None:
    # Quadratic work would take hours here.
    data = b"event: " * 1_000_000
    assert Decoder().feed(b"%bdata: %b\n\n" % (before, data))[-1][1] == data


def test_names_are_not_kept_without_end() -> None:
    decoder = Decoder()
    for number in range(2000):
        assert decoder.feed(b"event: e%d\ndata: 1\n\n" % number) == [(f"e{number}", b"1")]
    assert len(sse._NAMES) <= 256


@given(st.sampled_from(["response.created", "error", "keepalive"]), st.binary(max_size=50))
def test_a_frame_is_read_back_as_the_record_that_it_is(type: str, payload: bytes) -> None:
    payload = payload.replace(b"\n", b"").replace(b"\r", b"")
    assert Decoder().feed(sse.frame(type, payload)) == [(type, payload)]


def test_line_breaks_in_a_type_or_comment_cannot_begin_a_line() -> None:
    assert sse.frame("a\nb\r\nc", b"1") == b"event: abc\ndata: 1\n\n"
    assert sse.comment("a\n\ndata: b") == b": a data: b\n\n"
