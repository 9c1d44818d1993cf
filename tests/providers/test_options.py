"""The types of the TOML file's values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from maestro_daemon.plugin import BaseUrl, ConfigPath, Duration, Headers, HttpOptions, Secret, Size, Table
from maestro_daemon.providers.options import is_loopback
from maestro_daemon.providers.secret import Sources

DURATION: TypeAdapter[float] = TypeAdapter(Duration)
SIZE: TypeAdapter[int] = TypeAdapter(Size)
URL: TypeAdapter[str] = TypeAdapter(BaseUrl)
HEADERS: TypeAdapter[dict[str, str]] = TypeAdapter(Headers)
PATH: TypeAdapter[Path] = TypeAdapter(ConfigPath)


def refusal(type_: TypeAdapter[Any], value: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        type_.validate_python(value)
    return caught.value.errors()[0]["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("250ms", 0.25), ("15s", 15), ("2m", 120), ("1h", 3600), ("1.5s", 1.5), ("0s", 0), ("5 s", 5)],
)
def test_a_duration_is_seconds(written: str, seconds: float) -> None:
    assert DURATION.validate_python(written) == seconds


@pytest.mark.parametrize("written", [15, 15.0, True, None, ["15s"]])
def test_a_duration_without_unit_is_refused_with_an_example(written: Any) -> None:
    assert refusal(DURATION, written) == 'must be a string with a unit (ms, s, m, h), like "15s"'


@pytest.mark.parametrize("written", ["15", "s", "-1s", "15 days", "1e3s", "", "15S", "9" * 400 + "s", "infs"])
def test_a_duration_that_is_no_number_and_unit_is_refused(written: str) -> None:
    assert refusal(DURATION, written) == 'must be a number and a unit (ms, s, m, h), like "15s"'


def test_a_duration_longer_than_a_year_is_refused() -> None:
    assert refusal(DURATION, "99999h") == "is longer than a year"


@pytest.mark.parametrize(
    "written", ["250ms", "15s", "60s", "90s", "2m", "5m", "1h", "36h", "0s", "1500ms", "0.5ms"]
)
def test_a_duration_serialises_back(written: str) -> None:
    assert DURATION.dump_python(DURATION.validate_python(written)) == written


@given(st.integers(0, 366 * 24 * 3600 * 1000))
def test_every_duration_survives_being_written(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert DURATION.validate_python(DURATION.dump_python(seconds)) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    ("written", "size"),
    [("64MiB", 64 * 2**20), ("256KiB", 2**18), ("10MB", 10**7), ("1GiB", 2**30), ("5B", 5), ("1.5KiB", 1536)],
)
def test_a_size_is_bytes(written: str, size: int) -> None:
    assert SIZE.validate_python(written) == size


@pytest.mark.parametrize("written", ["64", "64M", "MiB", "64mib", "-1B"])
def test_a_size_that_is_no_number_and_unit_is_refused(written: str) -> None:
    assert refusal(SIZE, written).endswith('like "64MiB"')


@given(st.integers(0, 2**48))
def test_every_size_survives_being_written(size: int) -> None:
    assert SIZE.validate_python(SIZE.dump_python(size)) == size


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "https://10.0.0.7:8443/v1",
        "http://127.0.0.1:11434/v1",
        "http://127.8.9.1/v1",
        "http://localhost:1234/v1",
        "http://box.localhost:1/v1",
        "http://[::1]:8080/v1",
    ],
)
def test_a_base_url_is_https_or_http_on_this_machine(url: str) -> None:
    assert URL.validate_python(url) == url
    assert URL.validate_python(f"{url}/") == url


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.7/v1", "http://example.com/v1", "http://localhost.example.com/v1", "http://0.0.0.0/v1"],
)
def test_plain_http_to_another_machine_is_refused(url: str) -> None:
    assert "only on this machine" in refusal(URL, url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com",
        "ftp://host/",
        "https://",
        "https://[::1/v1",
        "https://host:port/",
        "https://a b/",
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    assert refusal(URL, url) == 'must be a URL like "https://host/v1"'


def test_a_password_in_a_base_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValidationError) as caught:
        HttpOptions.model_validate({"base_url": "https://me:hunter22@host/v1"})
    assert "user name or password" in str(caught.value)
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://host/v1?key=1", "https://host/v1#part", "https://host/v1?"])
def test_a_base_url_ends_with_its_path(url: str) -> None:
    assert "without ? or #" in refusal(URL, url)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"x y": "1"}, "no header can have"),
        ({"": "1"}, "no header can have"),
        ({"x": "a\r\nb: c"}, "line break"),
        ({"Content-Length": "5"}, "belongs to the transport"),
        ({"X-Team": "1", "x-team": "2"}, "twice"),
    ],
)
def test_headers_that_would_break_a_request_are_refused(headers: dict[str, str], said: str) -> None:
    assert said in refusal(HEADERS, headers)


def test_a_relative_path_starts_at_the_files_directory() -> None:
    sources = Sources(directory=Path("/etc/maestro-daemon"))
    assert PATH.validate_python("m.gguf", context=sources) == Path("/etc/maestro-daemon/m.gguf")
    assert PATH.validate_python("/m.gguf", context=sources) == Path("/m.gguf")
    assert PATH.validate_python("~/m.gguf", context=sources) == Path.home() / "m.gguf"


@pytest.mark.parametrize("written", ["", 5, "a\0b"])
def test_what_is_no_path_is_refused(written: Any) -> None:
    assert refusal(PATH, written) == "must be the path of a file"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_names_and_addresses_of_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost.evil.com", "devbox", "127.1"])
def test_names_and_addresses_that_may_be_others(host: str) -> None:
    assert not is_loopback(host)


class Options(HttpOptions):
    """Of a kind."""

    api_key: Secret


def test_http_options_have_the_timeouts_of_the_house() -> None:
    options = Options.model_validate({"base_url": "https://host/v1/", "api_key": "sk-1"})
    assert options.base_url == "https://host/v1"
    assert (options.connect_timeout, options.first_byte_timeout, options.idle_timeout) == (5, 300, 300)
    assert options.max_concurrent is None


@pytest.mark.parametrize(
    "wrong",
    [{"max_concurrent": 0}, {"max_concurrent": True}, {"max_concurrent": "4"}, {"connect_timeout": "0s"}],
)
def test_types_and_ranges_are_exact(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate({"base_url": "https://host/v1", "api_key": "sk-1", **wrong})


def test_a_table_refuses_unknown_keys_and_changes() -> None:
    class One(Table):
        """A table."""

        port: int = 1
        """Its port."""

    assert One.model_fields["port"].description == "Its port."
    with pytest.raises(ValidationError):
        One.model_validate({"prot": 2})
    with pytest.raises(ValidationError):
        One().port = 2  # type: ignore[misc]


def test_neither_repr_nor_dump_nor_error_shows_a_secret() -> None:
    given_ = {"base_url": "https://host/v1", "api_key": "hunter22", "headers": {"x-key": "hunter33"}}
    options = Options.model_validate(given_)
    for shown in (repr(options), str(options), str(options.model_dump()), options.model_dump_json()):
        assert "hunter22" not in shown
    assert "hunter33" not in repr(options)
    with pytest.raises(ValidationError) as caught:
        Options.model_validate({**given_, "max_concurrent": 0, "base_url": 7})
    assert "hunter" not in str(caught.value)
