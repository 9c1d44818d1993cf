"""Credentials that an upstream repeats go no further."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from maestro_daemon.upstream.credentials import Credentials

KEY = "hidden-key-1"


@pytest.mark.parametrize(
    ("name", "value"),
    [("Authorization", f"Bearer {KEY}"), ("X-API-Key", KEY), ("api-key", KEY), ("cookie", KEY)],
)
def test_what_was_shown_is_masked_wherever_it_stands(name: str, value: str) -> None:
    credentials = Credentials({"accept": "text/event-stream", name: value})
    assert credentials.masked(f"Bearer {KEY}, {KEY}".encode()) == b"Bearer ***, ***"
    heard = credentials.heard({"X-Echo": f"{KEY};{KEY}", "X-Other": "text/event-stream"})
    assert heard == {"x-echo": "***;***", "x-other": "text/event-stream"}


def test_another_address_is_shown_more() -> None:
    both = Credentials({"x-api-key": KEY}).and_of({"authorization": "Bearer another-key"})
    assert both.masked(f"{KEY} another-key".encode()) == b"*** ***"
    longer = both.and_of({"api-key": f"{KEY}-and-more"})
    assert longer.masked(f"{KEY} {KEY}-and-more".encode()) == b"*** ***"


def test_what_could_be_a_word_is_no_credential() -> None:
    assert Credentials({"authorization": "Bearer none"}).masked(b"none at all") == b"none at all"


def test_bytes_that_are_no_text_are_left_as_they_are() -> None:
    credentials = Credentials({"x-api-key": "hidden-\udcff-key"})
    assert credentials.masked(b"\xfe hidden-\xff-key") == b"\xfe ***"
    assert credentials.heard({"a": "\udcfe hidden-\udcff-key"}) == {"a": "\udcfe ***"}


def test_of_repeated_headers_the_first_counts() -> None:
    heard = Credentials({}).heard(CIMultiDict([("A", "1"), ("a", "2"), ("B", "3")]))
    assert heard == {"a": "1", "b": "3"}
