"""Deltas that come together go out as they would one by one, whatever they hold."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_daemon.events import DELTAS, DeltaBurst, ResponseEvent
from maestro_daemon.protocol.delta_run import DeltaRun
from tests.support.core import check_ending, compact, named, passed
from tests.support.legal_streams import streams, with_rotating_ids, without_ids
from tests.support.native import Event, events, message_events
from tests.support.oracle import check_stream

_OWN = re.compile(rb'(resp|msg|fc|ctc|rs|ws)_[0-9a-f]{48}|"(created|completed)_at":\d+')


def in_bursts(singles: Iterable[ResponseEvent]) -> list[ResponseEvent]:
    """The same events, with deltas of one type that follow each other put together."""
    joined: list[ResponseEvent] = []
    for type, group in groupby(singles, lambda event: event.type):
        several = list(group)
        if type in DELTAS and len(several) > 1:
            joined.append(DeltaBurst(type, [event.payload for event in several]))
        else:
            joined += several
    return joined


def comparable(sent: Iterable[ResponseEvent]) -> list[tuple[str, bytes]]:
    """What was sent, without what is drawn anew for each stream."""
    return [(event.type, _OWN.sub(b"own", event.payload)) for event in sent]


@given(
    streams(),
    st.sets(st.integers(0, 60), max_size=3),
    st.sampled_from([list, with_rotating_ids, without_ids]),
)
def test_bursts_say_what_single_events_say(drawn: list[Event], gaps: set[int], change: object) -> None:
    assert callable(change)
    singles = []
    for place, event in enumerate(change(drawn)):
        if place in gaps:
            event = {key: value for key, value in event.items() if key != "sequence_number"}
        singles.append(named(event))
    one_by_one = passed(singles)
    together = passed(in_bursts(singles))
    check_stream(together)
    assert comparable(together) == comparable(one_by_one)


@given(streams(), st.integers(2, 60))
def test_a_cut_behind_a_burst_loses_none_of_its_text(drawn: list[Event], cut: int) -> None:
    kept = [named(event) for event in drawn[: min(cut, len(drawn) - 1)]]
    assert comparable(passed(in_bursts(kept))) == comparable(passed(kept))


def deltas(*tails: bytes) -> list[bytes]:
    """Payloads of one text from number 5, each with these bytes behind ``"delta":``."""
    head = (
        b'{"type":"response.output_text.delta","sequence_number":%d,"item_id":"m","output_index":0,"delta":%b'
    )
    return [head % (number, tail) for number, tail in enumerate(tails, 5)]


@pytest.mark.parametrize(
    "tails",
    [
        [b'"a"', b'"b"}'],
        [b'"a","logprobs":[1', b'"b"}]}'],
        [b'"a","logprobs":[1', b'"b"}]}', b'"c"},{"delta":"d"}'],
        [b'"a"},{"delta":"b"}'],
        [b'"a","delta":"b"', b'"c"}'],
        [b'"a","more":[{"delta":1', b'"b"}]}', b'"c"},{"delta":"d"}'],
        [b'"a"}', b'"b\\'],
        [b'"a"}', b"1}"],
        [b'"a"}', b"null}"],
        [b'"a"}', b'"b","logprobs":[{"token":"b"}]}'],
        [b'"a"}', b'"b","item_id":"n"}'],
        [b'"a"}', b'"b","sequence_number":9}'],
        [b'"a"}\n', b'"b"}'],
        [b'"\xff"}', b'"b"}'],
    ],
)
def test_payloads_that_are_no_plain_deltas_are_not_taken_together(tails: list[bytes]) -> None:
    begun = DeltaRun.after(deltas(b'"x"}')[0], 5, texts := [], 1 << 20)
    assert begun is not None
    assert not begun.takes_all(deltas(*tails), 5)
    assert texts == []


def test_plain_deltas_are_taken_together() -> None:
    begun = DeltaRun.after(deltas(b'"x"}')[0], 5, texts := [], 1 << 20)
    assert begun is not None
    tails = [b'"a"}', b'"\\u00e9\\n","logprobs":[]}', b'"c","logprobs":[],"obfuscation":"xY"}', b'"d" }']
    assert begun.takes_all(deltas(*tails), 5)
    assert texts == ["a", "é\n", "c", "d"]


@pytest.mark.parametrize("count", [1, 5, 6, 96, 1200])
@pytest.mark.parametrize("place", [None, 0, -1])
def test_numbers_may_get_longer_within_a_burst_and_have_to_be_the_next(count: int, place: int | None) -> None:
    begun = DeltaRun.after(deltas(b'"x"}')[0], 5, texts := [], 1 << 20)
    assert begun is not None
    payloads = deltas(*[b'"a"}'] * count)
    if place is not None:
        number = b'"sequence_number":%d,' % (5 + place % count)
        payloads[place] = payloads[place].replace(number, number.replace(b":", b":9"))
    assert begun.takes_all(payloads, 5) is (place is None)
    assert texts == (["a"] * count if place is None else [])


def test_a_burst_that_outgrows_the_room_is_not_taken() -> None:
    begun = DeltaRun.after(deltas(b'"x"}')[0], 5, texts := [], 200)
    assert begun is not None
    assert not begun.takes_all(deltas(*[b'"aaaa"}'] * 3), 5)
    assert texts == []


@given(st.lists(st.binary(max_size=12), min_size=2, max_size=4))
def test_any_bytes_in_a_burst_give_a_well_formed_stream(garbage: list[bytes]) -> None:
    whole = [named(event) for event in events(message_events(["a", "b", "c"]))]
    type = "response.output_text.delta"
    at = next(place for place, event in enumerate(whole) if event.type == type)
    head = compact({"type": type, "sequence_number": 5, "item_id": "msg_upstream"})[:-1]
    burst = DeltaBurst(type, [head + each for each in garbage])
    check_ending(passed([*whole[: at + 1], burst, *whole[at + 1 :]]))
