"""What must never stand in a log line."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_daemon.plugin import Secret, Table
from maestro_daemon.redaction import Redaction


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "Authorization",
        "proxy-authorization",
        "api_key",
        "x-api-key",
        "openai_api_keys",
        "token",
        "access_token",
        "refresh-token",
        "client_secret",
        "password",
        "Set-Cookie",
        "cookie",
        "private_key",
    ],
)
def test_a_field_is_masked_by_its_name(name: str) -> None:
    redaction = Redaction()
    assert redaction.of_fields({name: "hidden"}) == {name: "***"}
    assert redaction.of_fields({"headers": {name: "hidden"}}) == {"headers": {name: "***"}}
    assert redaction.of_fields({"deep": [{"more": [{name: ["hidden"]}]}]}) == {
        "deep": [{"more": [{name: "***"}]}]
    }


@pytest.mark.parametrize(
    "name", ["tokens", "input_tokens", "output_tokens", "max_output_tokens", "key", "tokenizer", "secretary"]
)
def test_a_name_that_only_resembles_one_is_left(name: str) -> None:
    assert Redaction().of_fields({name: 5}) == {name: 5}


def test_secrets_and_models_of_them_are_masked_wherever_they_stand() -> None:
    class Options(Table):
        """Of a kind."""

        api_key: Secret

    options = Options.model_validate({"api_key": "hunter22"})
    shown = str(Redaction().of_fields({"a": Secret("hunter22"), "b": [Secret("hunter22")], "c": options}))
    assert "hunter22" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "sent Authorization: Bearer abcdefghij to nobody",
        "key sk-proj-abcdefgh_1234 is wrong",
        "key mk-Zm9vYmFyYmF6cXV4_1234 is unknown",
        "gho_abcdefghijklmnop1234 expired",
        "github_pat_abcdefghijklmnop expired",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc_def-ghi is no token",
    ],
)
def test_what_looks_like_a_key_is_masked_in_any_line(text: str) -> None:
    assert "***" in Redaction().of_text(text)
    for part in ("abcdefgh", "eyJ"):
        assert part not in Redaction().of_text(text)


@pytest.mark.parametrize("text", ["basic functionality", "risk-free-choice", "a bearer of news"])
def test_plain_words_are_left(text: str) -> None:
    assert Redaction().of_text(text) == text


@given(st.text(st.characters(codec="utf-8"), min_size=6, max_size=30))
def test_a_known_secret_never_passes_in_json_nor_as_a_repr(secret: str) -> None:
    redaction = Redaction()
    redaction.keep_out([secret])
    event: dict[str, Any] = {"event": f"<<{secret}>>"}
    for text in (orjson.dumps(event).decode(), repr(event), event["event"]):
        masked = redaction.of_fields({"a": text, "b": [text], "c": {text: text}})
        assert secret not in str(masked).replace("***", "")
        assert "***" in masked["a"]


def test_longer_secrets_are_masked_before_those_inside_them() -> None:
    redaction = Redaction()
    redaction.keep_out(["hunter", "hunter-and-more"])
    assert redaction.of_text("x hunter-and-more y hunter z") == "x *** y *** z"


def test_a_value_that_is_too_short_to_be_told_from_words_is_left() -> None:
    redaction = Redaction()
    redaction.keep_out(["a", ""])
    assert redaction.of_text("a cat") == "a cat"


class Hostile:
    """Cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2**80, str(2**80)),
        (1.5, 1.5),
        (None, None),
        (True, True),
        (b"secret bytes", "<12 bytes>"),
        ("\ud800", "?"),
        (Hostile(), "<Hostile>"),
        ({1: 2}, {"1": 2}),
        ((1, 2), [1, 2]),
    ],
)
def test_any_value_becomes_one_that_can_be_written(value: Any, shown: Any) -> None:
    assert Redaction().of_fields({"a": value}) == {"a": shown}


def test_what_is_large_is_cut_and_what_is_deep_is_left_out() -> None:
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    fields = Redaction().of_fields({"long": "x" * 100_000, "many": list(range(100_000)), "deep": deep})
    assert len(fields["long"]) < 3000
    assert len(fields["many"]) == 100
    assert "…" in str(fields["deep"])
