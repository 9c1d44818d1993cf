from __future__ import annotations

import base64
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_daemon.protocol.json import dumps
from maestro_daemon.protocol.sealed_reasoning import PREFIX, Sealed, is_sealed, seal, unseal

WORDS = st.text(st.characters(exclude_categories=["Cs"]))


@given(WORDS, WORDS, st.none() | WORDS)
def test_what_was_sealed_for_a_provider_comes_back_to_it(
    text: str, provider: str, opaque: str | None
) -> None:
    blob = seal(text, provider=provider, opaque=opaque)
    assert blob.isascii()
    assert blob.isprintable()
    assert is_sealed(blob)
    assert unseal(blob, provider=provider) == Sealed(text, opaque)


def test_another_provider_does_not_get_it() -> None:
    assert unseal(seal("thought", provider="home"), provider="copilot") is None


@pytest.mark.parametrize("blob", ["", "gAAAAABo", PREFIX, PREFIX + "x", PREFIX + "00000000.", "maestro"])
def test_a_foreign_blob_is_none(blob: str) -> None:
    assert unseal(blob, provider="") is None


@given(st.data())
def test_a_blob_with_one_other_character_or_cut_short_is_none(data: st.DataObject) -> None:
    blob = seal("a thought of some length", provider="home", opaque="xyz")
    at = data.draw(st.integers(0, len(blob) - 1))
    other = data.draw(st.characters().filter(lambda character: character != blob[at]))
    assert unseal(blob[:at] + other + blob[at + 1 :], provider="home") is None
    assert unseal(blob[:at], provider="home") is None


@pytest.mark.parametrize("content", [[], {}, {"provider": "home"}, {"provider": "home", "text": 1}, "home"])
def test_a_whole_blob_with_other_contents_is_none(content: object) -> None:
    payload = base64.urlsafe_b64encode(dumps(content))
    assert unseal(f"{PREFIX}{zlib.crc32(payload):08x}.{payload.decode()}", provider="home") is None


@pytest.mark.parametrize("payload", [b"!!!!", b"abc", base64.urlsafe_b64encode(b"{")])
def test_a_checked_blob_that_is_no_base64_or_json_is_none(payload: bytes) -> None:
    assert unseal(f"{PREFIX}{zlib.crc32(payload):08x}.{payload.decode()}", provider="home") is None


def test_a_lone_surrogate_is_sealed_as_a_replacement_character() -> None:
    assert unseal(seal("a\ud83d", provider="home"), provider="home") == Sealed("a\ufffd")
