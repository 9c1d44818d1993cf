"""Where secrets come from, and that they stay secret."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maestro_daemon.plugin import Secret
from maestro_daemon.providers.secret import Sources, read

KEY = "sk-hunter2-hunter2"


def sources(tmp_path: Path, *, private: bool = True, **environ: str) -> Sources:
    return Sources(environ, private, tmp_path)


def refusal(written: Any, given: Sources) -> str:
    with pytest.raises(ValueError) as caught:
        read(written, given)
    assert KEY not in str(caught.value)
    return str(caught.value)


def test_from_the_environment(tmp_path: Path) -> None:
    secret = read({"env": "MY_KEY"}, sources(tmp_path, MY_KEY=KEY))
    assert secret.reveal() == KEY
    assert secret.source == "the environment variable MY_KEY"


def test_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "the.key").write_text(f"{KEY}\n")
    assert read({"file": "the.key"}, sources(tmp_path)).reveal() == KEY
    assert read({"file": str(tmp_path / "the.key")}, sources(Path("/nowhere"))).reveal() == KEY


def test_from_a_systemd_credential(tmp_path: Path) -> None:
    (tmp_path / "openai").write_text(KEY)
    given = sources(tmp_path, CREDENTIALS_DIRECTORY=str(tmp_path))
    assert read({"credential": "openai"}, given).reveal() == KEY


def test_inline_only_where_nobody_else_can_read(tmp_path: Path) -> None:
    assert read(KEY, sources(tmp_path, private=True)).reveal() == KEY
    said = refusal(KEY, sources(tmp_path, private=False))
    assert "nobody but its owner can read" in said
    assert "chmod 600" in said


@pytest.mark.parametrize(
    ("content", "value"),
    [("key\n", "key"), ("key\r\n", "key"), ("key", "key"), (" key ", " key "), ("schlüssel", "schlüssel")],
)
def test_one_trailing_line_break_is_dropped(tmp_path: Path, content: str, value: str) -> None:
    (tmp_path / "a.key").write_text(content, newline="")
    assert read({"file": "a.key"}, sources(tmp_path)).reveal() == value


@pytest.mark.parametrize("content", ["", "\n", "  \n", "two\nlines\n", "bell\a"])
def test_what_can_be_no_key_is_refused_by_its_source(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.key").write_text(content)
    assert refusal({"file": "a.key"}, sources(tmp_path)).startswith(f"the file {tmp_path / 'a.key'} ")
    assert refusal({"env": "A"}, sources(tmp_path, A=content)).startswith("the environment variable A ")
    assert refusal(content, sources(tmp_path)).startswith("the string ")


def make_directory(path: Path) -> None:
    path.mkdir()


def make_nothing(path: Path) -> None:
    pass


def make_binary(path: Path) -> None:
    path.write_bytes(b"\xff\xfe")


def make_huge(path: Path) -> None:
    path.write_text("x" * 70_000)


@pytest.mark.parametrize("make", [make_directory, make_nothing, make_binary, make_huge])
def test_a_file_that_holds_no_secret_is_named(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "a.key")
    assert str(tmp_path / "a.key") in refusal({"file": "a.key"}, sources(tmp_path))


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    assert refusal({"env": "MY_KEY"}, sources(tmp_path)) == "the environment variable MY_KEY is not set"


@pytest.mark.parametrize("form", ["env", "file", "credential"])
@pytest.mark.parametrize("key", [KEY, "gsk_hunter2hunter2hunter2hunter2hunter2hunter2"])
def test_a_key_in_place_of_its_sources_name_is_not_repeated(tmp_path: Path, form: str, key: str) -> None:
    given = sources(tmp_path, CREDENTIALS_DIRECTORY=str(tmp_path))
    with pytest.raises(ValueError) as caught:
        read({form: key}, given)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["", ".", "..", "../etc/passwd", "a/b"])
def test_a_credential_stays_in_its_directory(tmp_path: Path, name: str) -> None:
    given = sources(tmp_path, CREDENTIALS_DIRECTORY=str(tmp_path))
    assert "plain name" in refusal({"credential": name}, given)


def test_credentials_outside_systemd_say_where_they_come_from(tmp_path: Path) -> None:
    assert "LoadCredential=" in refusal({"credential": "openai"}, sources(tmp_path))


@pytest.mark.parametrize(
    "written", [5, None, [], {}, {"env": "A", "file": "b"}, {"environment": "A"}, {"env": 5}]
)
def test_other_forms_are_refused_with_the_right_ones(tmp_path: Path, written: Any) -> None:
    assert '{ env = "NAME" }' in refusal(written, sources(tmp_path))


def test_a_secret_shows_itself_to_reveal_only() -> None:
    secret = Secret(KEY)
    assert KEY not in f"{secret} {secret!r} {[secret]} {secret:}"
    assert secret.reveal() == KEY
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert copy.deepcopy(secret) is secret


def test_secrets_compare_by_value() -> None:
    assert Secret("a", "one place") == Secret("a", "another")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
