"""A plugin that hangs while it is loaded is left out, named, and waited for no longer than it may take."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from maestro_daemon.plugin import Register, hookimpl
from maestro_daemon.providers import arrival
from maestro_daemon.providers.options import Table
from maestro_daemon.providers.registry import Registry

PLUGIN = """
import {first}
from maestro_daemon.plugin import hookimpl
@hookimpl
def maestro_register_providers(register):
    {then}
"""


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """What modules of the test wait for, as ``gate_of_the_test.wait()``; open again when the test is over."""
    event = threading.Event()
    module: Any = type(sys)("gate_of_the_test")
    module.wait = event.wait
    monkeypatch.setitem(sys.modules, "gate_of_the_test", module)
    yield event
    event.set()
    for thread in threading.enumerate():
        if thread.name.startswith("loading "):
            thread.join(10)


def written(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str) -> EntryPoint:
    monkeypatch.syspath_prepend(folder)
    (folder / f"{name}.py").write_text(source)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return EntryPoint(name, name, "maestro_daemon")


@pytest.mark.parametrize("where", ["import", "hook"])
def test_one_that_hangs_is_left_out_and_the_others_are_loaded(
    where: str, gate: threading.Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    source = "import gate_of_the_test\n"
    source += "gate_of_the_test.wait()\n" if where == "import" else ""
    source += PLUGIN.format(first="sys", then="gate_of_the_test.wait()" if where == "hook" else "pass")
    stuck = written(tmp_path, monkeypatch, f"arrival_stuck_{where}", source)
    good = written(tmp_path, monkeypatch, f"arrival_good_{where}", PLUGIN.format(first="sys", then="pass"))
    registry = Registry(lambda: [good, stuck])
    registry.load(patience=0.2)
    rows = {row.name: row for row in registry.rows}
    assert rows[good.name].state == "loaded"
    assert rows[stuck.name].state == "broken"
    error = str(rows[stuck.name].error)
    assert error.startswith("was not loaded within 0.2 s and is left out ([plugins] load_timeout); it hangs")
    assert f"arrival_stuck_{where}.py:" in error
    (line,) = (line for line in logged if line["log_level"] == "error")
    assert (line["event"], line["plugin"]) == ("plugin not loaded", stuck.name)
    assert rows[stuck.name].load_seconds >= 0.2


def test_what_comes_too_late_brings_nothing(
    gate: threading.Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "import gate_of_the_test\ngate_of_the_test.wait()\n"
    source += PLUGIN.format(first="arrival_options", then='register("late", arrival_options.One, print)')
    options = "from maestro_daemon.plugin import Table\nclass One(Table): pass\n"
    written(tmp_path, monkeypatch, "arrival_options", options)
    stuck = written(tmp_path, monkeypatch, "arrival_late", source)
    registry = Registry(lambda: [stuck])
    registry.load(patience=0.05)
    gate.set()
    (thread,) = (each for each in threading.enumerate() if each.name == "loading arrival_late")
    thread.join(10)
    assert not thread.is_alive()
    assert dict(registry.kinds) == {}
    assert registry.rows[0].state == "broken"


def test_a_slow_one_is_named_while_it_is_waited_for(
    gate: threading.Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    monkeypatch.setattr(arrival, "_SLOW", 0.05)
    source = "import gate_of_the_test\ngate_of_the_test.wait()\n" + PLUGIN.format(first="sys", then="pass")
    slow = written(tmp_path, monkeypatch, "arrival_slow", source)
    registry = Registry(lambda: [slow])
    loading = threading.Thread(target=registry.load)
    loading.start()
    while not logged:
        loading.join(0.01)
    gate.set()
    loading.join(10)
    assert registry.rows[0].state == "loaded"
    (line,) = logged
    assert (line["event"], line["plugin"]) == ("a plugin takes long to load", "arrival_slow")
    assert line["at"].endswith("arrival_slow.py:2 in <module>")


def test_a_plugin_can_be_added_but_once() -> None:
    class Plugin:
        @hookimpl
        def maestro_register_providers(self, register: Register) -> None:
            register("one", Table, print)  # type: ignore[arg-type]

    registry = Registry(list)
    plugin = Plugin()
    registry.add(plugin, "first")
    with pytest.raises(arrival.PluginBroken, match="already"):
        registry.add(plugin, "second")
    assert [row.name for row in registry.rows] == ["first"]
