"""What differs between two configurations is told by keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from maestro_daemon.config import Config, ProviderConfig, load
from maestro_daemon.config.changes import Changes, applied, changes, is_same_provider
from maestro_daemon.providers.registry import Registry
from maestro_daemon.routing.terms import Patience

BEFORE = """
[clients.alice]
key = "alice-key"
[providers.one]
kind = "openai"
api_key = "sk-first"
[providers.home]
kind = "local"
base_url = "http://127.0.0.1:1/v1"
[routes.coder]
targets = ["one/a", "home/b"]
"""


@pytest.fixture
def registry() -> Registry:
    return Registry()


def config(text: str, folder: Path, registry: Registry) -> Config:
    file = folder / "maestro.toml"
    file.touch(mode=0o600)
    file.write_text(text)
    return load(file, registry, environ={})


@pytest.mark.parametrize(
    ("written", "instead", "told"),
    [
        ("", "", Changes()),
        ("[clients", "[breaker]\nfailures = 3\n[clients", Changes()),
        ("[clients", '[breaker]\ncooldown = "1s"\n[clients', Changes(changed=["breaker.cooldown"])),
        ("alice-key", "other-key", Changes(changed=["clients.alice.key"])),
        ("alice]", "bob]", Changes(added=["clients.bob"], removed=["clients.alice"])),
        ("sk-first", "sk-second", Changes(changed=["providers.one.api_key"])),
        (
            'kind = "openai"',
            'kind = "openai"\naffinity = "1s"\nfirst_output_timeout = "1s"\ntotal_timeout = "1s"\n'
            'organization = "o"',
            Changes(
                changed=[
                    "providers.one.affinity",
                    "providers.one.first_output_timeout",
                    "providers.one.total_timeout",
                    "providers.one.organization",
                ]
            ),
        ),
        (
            'kind = "local"',
            'kind = "openai"\napi_key = "sk-third"',
            Changes(changed=["providers.home.kind"]),
        ),
        ('"one/a", ', "", Changes(changed=["routes.coder.targets"])),
        ("routes.coder", 'routes."a/b"', Changes(added=['routes."a/b"'], removed=["routes.coder"])),
        (
            "[clients",
            '[server]\nport = 1\nhost = "::1"\nkeepalive = "1s"\n[plugins]\ndisabled = ["copilot"]\n[clients',
            Changes(
                changed=["server.keepalive"],
                restart=["server.host", "server.port", "plugins.disabled"],
            ),
        ),
    ],
    ids=[
        "nothing",
        "a default written out",
        "a breaker's key",
        "a client's key",
        "a client by another name",
        "a secret",
        "the house's keys of a provider, and its own",
        "a provider of another kind",
        "a route's targets",
        "a route whose name needs quotes",
        "what only a restart can change",
    ],
)
def test_each_difference_is_named_where_it_is(
    written: str, instead: str, told: Changes, tmp_path: Path, registry: Registry
) -> None:
    before = config(BEFORE, tmp_path, registry)
    after = config(BEFORE.replace(written, instead, 1), tmp_path, registry)
    assert changes(before, after) == told
    assert changes(before, before) == Changes()
    # What can be applied is; what is left is what needs a restart.
    running = applied(before, after)
    assert changes(running, after) == Changes(restart=told.restart)


def test_a_provider_is_the_same_whatever_the_house_reads_of_its_table(
    tmp_path: Path, registry: Registry
) -> None:
    before = config(BEFORE, tmp_path, registry).providers
    slower = BEFORE.replace('kind = "openai"', 'kind = "openai"\naffinity = "1s"\ntotal_timeout = "1s"')
    after = config(slower, tmp_path, registry).providers
    assert is_same_provider(before["one"], after["one"])
    other = config(BEFORE.replace("sk-first", "sk-second"), tmp_path, registry).providers
    assert not is_same_provider(before["one"], other["one"])
    assert not is_same_provider(before["one"], before["home"])


def test_a_relative_path_is_the_same_when_the_file_is_named_absolutely(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = '[providers.home]\nkind = "local"\nengine = "embedded"\nmodel = "tiny.gguf"\n'
    Path("tiny.gguf").touch()
    file = Path("maestro.toml")
    file.write_text(text)
    first = load(file, registry, environ={})
    assert first.source is not None
    assert changes(first, load(first.source, registry, environ={})) == Changes()


class Odd:
    """A value that cannot be compared."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    __hash__ = None  # type: ignore[assignment]


class Loose(BaseModel):
    """The options of a plugin that takes anything."""

    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True)


def made(**options: Any) -> Config:
    return Config(providers={"odd": ProviderConfig("odd", "odd", Loose(**options), 0.0, Patience())})


def test_values_that_cannot_be_compared_have_changed_and_keys_beyond_the_model_count() -> None:
    assert changes(made(value=Odd()), made(value=Odd())).changed == ["providers.odd.value"]
    assert changes(made(one=1), made(two=1)).changed == ["providers.odd.two", "providers.odd.one"]
    assert changes(made(one=1), made(one=1)) == Changes()
