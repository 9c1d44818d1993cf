"""Plugins load apart from each other, and a broken one harms nobody."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pluggy
import pytest
from pydantic import BaseModel

from maestro_daemon.errors import ProviderUnavailable
from maestro_daemon.plugin import Attempt, Outcome, Register, ResponseRequest, Table, hookimpl
from maestro_daemon.providers.registry import PluginBroken, Registry

wrapping = pluggy.HookimplMarker("maestro_daemon")


class Options(Table):
    """None."""


class Silent:
    """A provider that answers nothing."""

    def __init__(self, name: str, options: Any) -> None:
        self.name = name

    async def models(self) -> list[Any]:
        return []

    async def complete(self, request: ResponseRequest) -> dict[str, Any]:
        return {}

    def stream(self, request: ResponseRequest) -> Any:
        raise NotImplementedError

    async def aclose(self) -> None:
        pass


class Keeping(Silent):
    """A provider that keeps something."""

    def __init__(self, name: str, options: Any, state_directory: Path) -> None:
        super().__init__(name, options)
        self.state_directory = state_directory


def bringing(*kinds: str, factory: Any = Silent, options: Any = Options) -> object:
    """A plugin that registers these kinds."""

    class Plugin:
        @hookimpl
        def maestro_register_providers(self, register: Register) -> None:
            for kind in kinds:
                register(kind, options, factory)

    return Plugin()


class Point(EntryPoint):
    """An entry point whose loading is a function of the test."""

    def __new__(cls, name: str, load: Callable[[], object], package: str | None = None) -> Point:
        point = super().__new__(cls)
        vars(point).update(name=name, value="test", group="maestro_daemon", loading=load)
        if package is not None:
            vars(point).update(dist=SimpleNamespace(name=package, version="1.0"))
        return point

    def __init__(self, name: str, load: Callable[[], object], package: str | None = None) -> None:
        pass

    def load(self) -> object:
        return vars(self)["loading"]()


def raising(error: BaseException) -> Callable[[], object]:
    def load() -> object:
        raise error

    return load


def registry(**plugins: object) -> Registry:
    """A registry that finds these plugins; a function is what loading one does."""
    points = [
        Point(name, plugin if callable(plugin) else (lambda plugin=plugin: plugin))
        for name, plugin in plugins.items()
    ]
    return Registry(lambda: points)


def states(one: Registry) -> dict[str, str]:
    return {row.name: row.state for row in one.rows}


def errors(one: Registry) -> dict[str, str]:
    return {row.name: row.error for row in one.rows if row.error}


def test_each_kind_belongs_to_its_plugin() -> None:
    one = registry(first=bringing("a", "b"), second=bringing("c"))
    one.load()
    assert {name: kind.plugin for name, kind in one.kinds.items()} == {
        "a": "first",
        "b": "first",
        "c": "second",
    }
    assert {row.name: row.kinds for row in one.rows} == {"first": ("a", "b"), "second": ("c",)}


def misspelt() -> object:
    class Plugin:
        @hookimpl
        def maestro_register_provider(self, register: Register) -> None: ...

    return Plugin()


def wrong_argument() -> object:
    class Plugin:
        @hookimpl
        def maestro_attempt_finished(self, attempts: Attempt) -> None: ...

    return Plugin()


def async_notice() -> object:
    class Plugin:
        @hookimpl
        async def maestro_attempt_finished(self, attempt: Attempt) -> None: ...

    return Plugin()


def wrapped_notice() -> object:
    class Plugin:
        @wrapping(wrapper=True)
        def maestro_attempt_finished(self, attempt: Attempt) -> Iterator[None]:
            yield

    return Plugin()


def unmarked() -> object:
    module = types.ModuleType("unmarked")

    def maestro_register_providers(register: Register) -> None: ...

    vars(module)["maestro_register_providers"] = maestro_register_providers
    return module


class Stuck(BaseModel):
    """Has another one."""

    affinity: str = ""


class Lost(BaseModel):
    """Has a key of the house's own."""

    kind: str


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (raising(ImportError("no module named torch")), "ImportError: no module named torch"),
        (raising(SyntaxError("bad")), "SyntaxError"),
        (raising(SystemExit(3)), "SystemExit"),
        (raising(KeyboardInterrupt()), "KeyboardInterrupt"),
        (raising(asyncio.CancelledError()), "CancelledError"),
        (misspelt, "maestro_register_provider"),
        (wrong_argument, "attempts"),
        (async_notice, "must be a plain function"),
        (wrapped_notice, "cannot be wrapped"),
        (unmarked, "not marked with @hookimpl"),
        (object, "none of the hooks"),
        (lambda: bringing("taken"), "kind 'taken' is already registered by plugin 'aaa'"),
        (lambda: bringing("x", "x"), "kind 'x' is already registered"),
        (lambda: bringing("a kind"), "without spaces"),
        (lambda: bringing(""), "without spaces"),
        (lambda: bringing("x", options=dict), "must be a pydantic model class"),
        (lambda: bringing("x", options=Lost), "must not have a field 'kind'"),
        (lambda: bringing("x", options=Stuck), "must not have a field 'affinity'"),
        (lambda: bringing("x", factory=None), "cannot be called"),
    ],
)
def test_a_broken_plugin_is_a_row_and_a_log_line_and_nothing_else(
    load: Callable[[], object], said: str, logged: list[Any]
) -> None:
    one = registry(aaa=bringing("taken"), broken=load, zzz=bringing("z"))
    one.load()
    assert states(one) == {"aaa": "loaded", "broken": "broken", "zzz": "loaded"}
    assert said in errors(one)["broken"]
    assert set(one.kinds) == {"taken", "z"}
    (line,) = (line for line in logged if line["log_level"] != "debug")
    assert (line["log_level"], line["plugin"]) == ("error", "broken")


def test_a_plugin_that_fails_halfway_leaves_nothing(logged: list[Any]) -> None:
    heard = []

    class Plugin:
        @hookimpl
        def maestro_register_providers(self, register: Register) -> None:
            register("half", Options, Silent)
            raise RuntimeError("midway")

        @hookimpl
        def maestro_attempt_finished(self, attempt: Attempt) -> None:
            heard.append(attempt)

    one = registry(halfway=Plugin())
    one.load()
    assert one.kinds == {}
    one.hook.maestro_attempt_finished(request=ResponseRequest({}, "m", "m"), attempt=Attempt(1, "p", "m"))
    assert heard == []


def test_disabled_plugins_are_not_even_imported() -> None:
    one = registry(a=bringing("a"), b=raising(AssertionError("imported")))
    one.load(disabled=["b"])
    assert states(one) == {"a": "loaded", "b": "disabled"}


def test_only_enabled_plugins_are_loaded_in_the_order_given() -> None:
    one = registry(a=bringing("a"), b=bringing("b"), c=raising(AssertionError("imported")))
    one.load(enabled=["b", "a", "not installed"])
    assert [(row.name, row.state) for row in one.rows] == [
        ("b", "loaded"),
        ("a", "loaded"),
        ("c", "disabled"),
    ]


def test_without_an_order_it_is_alphabetical_whatever_was_installed_first() -> None:
    one = registry(b=bringing("b"), a=bringing("a"))
    one.load()
    assert list(one.kinds) == ["a", "b"]


def test_loading_again_changes_nothing() -> None:
    one = registry(a=bringing("a"))
    one.load()
    rows = one.rows
    one.load()
    assert one.rows == rows


def test_two_packages_with_one_plugin_name_are_both_refused(logged: list[Any]) -> None:
    points = [Point("twin", lambda: bringing("a")), Point("twin", lambda: bringing("b"))]
    one = Registry(lambda: points)
    one.load()
    assert "several installed packages" in errors(one)["twin"]
    assert one.kinds == {}


def test_nobody_takes_a_kind_of_the_daemons_own_plugins() -> None:
    points = [
        Point("a", lambda: bringing("openai", "a")),
        Point("openai", lambda: bringing("openai"), "maestro-daemon"),
    ]
    one = Registry(lambda: points)
    one.load()
    assert states(one) == {"openai": "loaded", "a": "broken"}
    assert "already registered by plugin 'openai'" in errors(one)["a"]
    assert one.kinds["openai"].plugin == "openai"
    asked_for = Registry(lambda: points)
    asked_for.load(enabled=["a", "openai"])
    assert asked_for.kinds["openai"].plugin == "a"


def test_nobody_takes_a_name_of_the_daemons_own_plugins(logged: list[Any]) -> None:
    points = [
        Point("openai", lambda: bringing("b"), "stranger"),
        Point("openai", lambda: bringing("a"), "maestro-daemon"),
    ]
    one = Registry(lambda: points)
    one.load()
    assert [(row.distribution, row.state) for row in one.rows] == [
        ("maestro-daemon", "loaded"),
        ("stranger", "broken"),
    ]
    assert set(one.kinds) == {"a"}
    assert "the daemon's own plugin is named 'openai'" in errors(one)["openai"]
    assert logged[0]["distribution"] == "stranger"


def test_what_a_plugin_prints_as_it_loads_is_not_taken_for_what_was_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def talking() -> object:
        sys.stdout.write("welcome\n")
        return bringing("a")

    registry(talking=talking).load()
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "welcome\n")


def test_a_plugin_at_hand_can_be_added() -> None:
    one = registry()
    one.add(bringing("a"), "mine")
    assert one.kinds["a"].plugin == "mine"
    assert states(one) == {"mine": "loaded"}
    with pytest.raises(PluginBroken):
        one.add(misspelt(), "other")


def test_register_belongs_into_its_hook() -> None:
    kept: list[Register] = []

    class Plugin:
        @hookimpl
        def maestro_register_providers(self, register: Register) -> None:
            kept.append(register)

    one = registry()
    one.add(Plugin(), "late")
    with pytest.raises(PluginBroken, match="only inside"):
        kept[0]("late", Options, Silent)


def test_a_provider_is_made_by_its_kind() -> None:
    one = registry(a=bringing("a"))
    one.load()
    assert one.build("home", "a", Options()).name == "home"


class Mute:
    """Cannot stream."""

    def __init__(self, name: str, options: Any) -> None:
        pass

    async def models(self) -> list[Any]:
        return []

    async def complete(self, request: ResponseRequest) -> dict[str, Any]:
        return {}


def failing(name: str, options: Any) -> Any:
    raise KeyError("sk-hunter2")


@pytest.mark.parametrize(
    ("factory", "said"), [(failing, "failed with KeyError"), (Mute, "without the method 'stream'")]
)
def test_a_factory_that_fails_is_a_sentence(factory: Any, said: str, logged: list[Any]) -> None:
    one = registry(a=bringing("a", factory=factory))
    one.load()
    with pytest.raises(ProviderUnavailable, match=said) as caught:
        one.build("home", "a", Options())
    assert "'home'" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_notice_reaches_every_plugin_although_one_raises(logged: list[Any]) -> None:
    heard: list[Any] = []

    class Good:
        @hookimpl
        def maestro_response_finished(self, outcome: Outcome) -> None:
            heard.append(outcome)

    class Bad:
        @hookimpl
        def maestro_response_finished(self, request: ResponseRequest, outcome: Outcome) -> None:
            raise RuntimeError("not today")

    one = registry(a=Good(), b=Bad(), c=Good())
    one.load()
    outcome = Outcome()
    one.hook.maestro_response_finished(request=ResponseRequest({}, "m", "m"), outcome=outcome)
    assert heard == [outcome, outcome]
    assert [(line["plugin"], line["hook"]) for line in logged] == [("b", "maestro_response_finished")]


def test_a_plugins_commands_join_the_command_line_and_failures_do_not_spread(logged: list[Any]) -> None:
    class Good:
        @hookimpl
        def maestro_register_commands(self, cli: click.Group) -> None:
            cli.add_command(click.Command("mine"))

    class Bad:
        @hookimpl
        def maestro_register_commands(self) -> None:
            raise RuntimeError("not today")

    one = registry(a=Bad(), b=Good())
    one.load()
    group = click.Group()
    one.register_commands(group)
    assert list(group.commands) == ["mine"]
    assert [line["plugin"] for line in logged] == ["a"]


def test_the_house_plugins_are_found_where_they_are_installed(logged: list[Any]) -> None:
    one = Registry()
    one.load()
    rows = {row.name: row for row in one.rows}
    assert rows["openai"].kinds == ("openai",)
    assert rows["local"].kinds == ("local",)
    assert rows["openai"].distribution == "maestro-daemon"


@pytest.mark.parametrize(
    "damage", ["[maestro_daemon]\nnothing behind it\n", "[maestro_daemon\n= =\n", "maestro_daemon = 1\n"]
)
def test_a_package_with_damaged_metadata_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str, logged: list[Any]
) -> None:
    for name, points in (("damaged", damage), ("sound", "[maestro_daemon]\nsound = sound_plugin\n")):
        metadata = tmp_path / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(points)
    (tmp_path / "nameless-1.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    names = Registry().installed()
    assert {"sound", "openai", "local"} <= set(names)


@pytest.mark.parametrize("error", [SystemExit(9), BaseException("panic")])
def test_a_plugin_that_exits_or_panics_in_a_hook_or_a_factory_ends_nothing(error: BaseException) -> None:
    def fail(*_: Any) -> Any:
        raise error

    class Failing:
        @hookimpl
        def maestro_register_providers(self, register: Register) -> None:
            register("failing", Options, fail)

        @hookimpl
        def maestro_register_commands(self, cli: click.Group) -> None:
            fail()

        @hookimpl
        def maestro_attempt_finished(self, request: ResponseRequest, attempt: Attempt) -> None:
            fail()

    registry = Registry()
    registry.add(Failing(), "failing")
    registry.register_commands(click.Group())
    registry.hook.maestro_attempt_finished(
        request=ResponseRequest({}, "m", "m"), attempt=Attempt(1, "p", "m")
    )
    with pytest.raises(ProviderUnavailable, match=type(error).__name__):
        registry.build("one", "failing", Options())


def test_a_factory_that_wants_it_gets_the_state_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    registry = Registry(list)
    registry.add(bringing("keeping", factory=Keeping), "one")
    registry.add(bringing("silent"), "two")
    registry.add(bringing("wrapped", factory=lambda name, options: Silent(name, options)), "three")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "usual"))
    kept = registry.build("a", "keeping", Options())
    assert isinstance(kept, Keeping)
    assert kept.state_directory == tmp_path / "usual"
    given = registry.build("a", "keeping", Options(), state_directory=tmp_path / "given")
    assert isinstance(given, Keeping)
    assert given.state_directory == tmp_path / "given"
    for kind in ("silent", "wrapped"):
        assert isinstance(registry.build("a", kind, Options()), Silent)
    assert not (tmp_path / "usual").exists()
