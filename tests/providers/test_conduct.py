"""What plugins raise that the contract does not know is counted, wherever it is awaited."""

from __future__ import annotations

import asyncio
from typing import Any

import click
import pytest

from maestro_daemon.errors import ProviderFailed, ProviderUnavailable, UpstreamBroken
from maestro_daemon.plugin import Attempt, Outcome, Register, ResponseRequest, Table, hookimpl
from maestro_daemon.providers.catalog import Catalog
from maestro_daemon.providers.lifetime import Residents
from maestro_daemon.providers.plugin_report import report
from maestro_daemon.providers.registry import Registry

REQUEST = ResponseRequest({}, "m", "m")


class Options(Table):
    """None."""


class Raising:
    """A provider that raises what it is given, wherever it can."""

    def __init__(self, name: str, error: Exception) -> None:
        self.name = name
        self.error = error

    async def start(self) -> None:
        raise self.error

    async def models(self) -> list[Any]:
        raise self.error

    async def complete(self, request: ResponseRequest) -> dict[str, Any]:
        raise self.error

    def stream(self, request: ResponseRequest) -> Any:
        raise self.error

    async def aclose(self) -> None:
        raise self.error


class Plugin:
    """Brings the kinds ``raising``, ``refusing`` and ``unmade``, and raises in its hooks."""

    @hookimpl
    def maestro_register_providers(self, register: Register) -> None:
        register("raising", Options, lambda name, options: Raising(name, KeyError("sk-hunter2")))
        register("refusing", Options, lambda name, options: Raising(name, UpstreamBroken("no")))
        register("unmade", Options, lambda name, options: {}[name])

    @hookimpl
    def maestro_response_finished(self, outcome: Outcome) -> None:
        raise LookupError("not today")


@pytest.fixture
def registry() -> Registry:
    one = Registry(list)
    one.add(Plugin(), "acme")
    return one


async def lived(registry: Registry, kind: str) -> None:
    providers = {"a": registry.build("a", kind, Options())}
    residents = Residents(conduct=registry.conduct)
    catalog = Catalog(providers, conduct=registry.conduct)
    residents.hold(providers, catalog)
    await catalog.tried()
    await asyncio.sleep(0)
    await residents.close()


async def test_start_list_and_closing_count(registry: Registry) -> None:
    await lived(registry, "raising")
    record = registry.conduct.of("acme")
    assert (record.raised, record.last) == (3, "the closing of a: KeyError")
    assert record.last_at is not None


async def test_errors_of_the_contract_do_not(registry: Registry) -> None:
    await lived(registry, "refusing")
    assert registry.conduct.of("acme").raised == 0


def test_a_factory_counts(registry: Registry) -> None:
    with pytest.raises(ProviderUnavailable):
        registry.build("a", "unmade", Options())
    assert registry.conduct.of("acme").last == "the making of a: KeyError"


def test_an_attempt_counts_where_the_provider_failed(registry: Registry) -> None:
    registry.build("a", "raising", Options())
    for error in (ProviderFailed("…", "KeyError"), UpstreamBroken("cut"), None):
        attempt = Attempt(1, "a", "m", error=error)
        registry.hook.maestro_attempt_finished(request=REQUEST, attempt=attempt)
    assert (registry.conduct.of("acme").raised, registry.conduct.of("acme").last) == (
        1,
        "an answer of a: KeyError",
    )


def test_a_hook_counts(registry: Registry) -> None:
    registry.hook.maestro_response_finished(request=REQUEST, outcome=Outcome())
    assert registry.conduct.of("acme").last == "maestro_response_finished: LookupError"


def test_the_report_has_it_all_and_no_secret(registry: Registry) -> None:
    registry.build("a", "raising", Options())
    registry.conduct.provider_raised("a", "an answer", "KeyError")
    registry.conduct.blocked("acme", "acme/provider.py:3 in stream")
    registry.build("gone", "raising", Options())
    told = report(registry, ["a"])
    (row,) = told["plugins"]
    assert (row["name"], row["state"], row["raised"], row["blocked"]) == ("acme", "loaded", 1, 1)
    assert row["kinds"] == ["raising", "refusing", "unmade"]
    assert row["providers"] == ["a"]
    assert row["last_fault"] == "held the event loop up at acme/provider.py:3 in stream"
    assert "hunter2" not in str(told)


def test_calls_of_hooks_are_traced_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    class Listening:
        @hookimpl
        def maestro_register_providers(self, register: Register) -> None: ...

        @hookimpl
        def maestro_register_commands(self, cli: click.Group) -> None: ...

        @hookimpl
        def maestro_attempt_finished(self, attempt: Attempt) -> None: ...

        @hookimpl
        def maestro_response_finished(self, outcome: Outcome) -> None:
            raise LookupError("not today")

    def called() -> list[tuple[str, str]]:
        one = Registry(list)
        one.add(Listening(), "listening")
        one.register_commands(click.Group())
        one.hook.maestro_attempt_finished(request=REQUEST, attempt=Attempt(1, "p", "m"))
        one.hook.maestro_response_finished(request=REQUEST, outcome=Outcome())
        lines = [line for line in logged if line["event"] == "hook"]
        assert all(line["ms"] >= 0 and line["log_level"] == "info" for line in lines)
        return [(line["plugin"], line["hook"]) for line in lines]

    monkeypatch.setenv("MAESTRO_TRACE_HOOKS", "0")
    assert called() == []
    monkeypatch.setenv("MAESTRO_TRACE_HOOKS", "1")
    hooks = ["register_providers", "register_commands", "attempt_finished", "response_finished"]
    assert called() == [("listening", f"maestro_{hook}") for hook in hooks]
