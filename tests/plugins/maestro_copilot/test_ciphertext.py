"""The id that a ciphertext is bound to travels inside it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_copilot.ciphertext import bound, is_the_houses, unbound
from maestro_daemon.protocol.sealed_reasoning import seal


@given(st.text(), st.text(max_size=600))
def test_what_was_bound_comes_back_whole(ciphertext: str, id: str) -> None:
    """copilot.md §7 Replaying: carry the raw id inside an encrypted_content of our own."""
    assert unbound(bound(ciphertext, id)) == (ciphertext, id)


@given(st.text())
def test_anything_else_is_nobodys(blob: str) -> None:
    assert unbound(blob) is None


@pytest.mark.parametrize("end", ["", "abc", "!!!.abc", "YQ.abc", "gICA.abc", "é.abc"])
def test_what_is_broken_is_nobodys(end: str) -> None:
    assert unbound(f"copilot-bound-1.{end}") is None


def test_the_houses_own_seals_are_known() -> None:
    assert is_the_houses(seal("so far", provider="work"))
    assert not is_the_houses(bound("x", "id"))
