"""What is looked at only when somebody asks: breakers, what is under way, hooks, connections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from maestro_daemon.telemetry.labels import OTHER, Labels

_STATES: Final = ("closed", "half_open", "open")


@dataclass(frozen=True, slots=True)
class Scene:
    """The daemon at one moment.

    `targets` are rows of `Health.snapshot`, `ready` says which providers can serve, `refused` counts by HTTP
    status and code what was refused before any target was looked for, `hooks` is that of `Metrics`.
    """

    version: str
    in_flight: int
    connections: int
    configurations: int
    targets: Sequence[Mapping[str, Any]]
    ready: Mapping[str, bool]
    refused: Mapping[tuple[int, str], int]
    hooks: Mapping[tuple[str, str], Sequence[float]]


class SceneCollector:
    """Tells prometheus-client of the last scene that it was shown."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._metrics: list[Metric] = []

    def show(self, scene: Scene) -> None:
        """What is collected from now on."""
        self._metrics = [*_of_daemon(scene), *_of_targets(scene, self._labels.target), *_of_hooks(scene)]

    def collect(self) -> Iterable[Metric]:
        """See prometheus-client."""
        return self._metrics

    def describe(self) -> Iterable[Metric]:
        """See prometheus-client: nothing is known before the first scene."""
        return ()


def _of_daemon(scene: Scene) -> Iterator[Metric]:
    build = GaugeMetricFamily("maestro_build_info", "The version that runs.", labels=["version"])
    build.add_metric([scene.version], 1)
    yield build
    yield GaugeMetricFamily(
        "maestro_requests_in_flight", "Requests that are being answered.", value=scene.in_flight
    )
    yield GaugeMetricFamily("maestro_connections", "Clients that are connected.", value=scene.connections)
    yield GaugeMetricFamily(
        "maestro_earlier_configurations",
        "Configurations before the current one that still serve requests.",
        value=scene.configurations,
    )
    ready = GaugeMetricFamily("maestro_provider_ready", "Whether a provider can serve.", labels=["provider"])
    for provider, able in scene.ready.items():
        ready.add_metric([provider], int(able))
    yield ready
    refused = CounterMetricFamily(
        "maestro_refused",
        "Requests that were refused before any target was looked for.",
        labels=["http_status", "code"],
    )
    for (status, code), count in scene.refused.items():
        refused.add_metric([str(status), code], count)
    yield refused


def _of_targets(scene: Scene, label: Callable[[str], str]) -> Iterator[Metric]:
    state = GaugeMetricFamily(
        "maestro_breaker_state", "1 for the state that a target's breaker is in.", labels=["target", "state"]
    )
    cooldown = GaugeMetricFamily(
        "maestro_breaker_cooldown_seconds", "Seconds until a target is asked again.", labels=["target"]
    )
    running = GaugeMetricFamily(
        "maestro_target_in_flight", "Attempts that are under way at a target.", labels=["target"]
    )
    others: dict[str, int] = {}
    for row in scene.targets:
        target = label(row["target"])
        if target.endswith(OTHER):
            others[target] = others.get(target, 0) + row["in_flight"]
            continue
        for each in _STATES:
            state.add_metric([target, each], int(row["state"] == each))
        cooldown.add_metric([target], row["cooldown_left"])
        running.add_metric([target], row["in_flight"])
    for target, count in others.items():
        running.add_metric([target], count)
    yield from (state, cooldown, running)


def _of_hooks(scene: Scene) -> Iterator[Metric]:
    calls = CounterMetricFamily("maestro_hook_calls", "Calls of plugins' hooks.", labels=["plugin", "hook"])
    seconds = CounterMetricFamily(
        "maestro_hook_seconds", "Seconds spent in plugins' hooks.", labels=["plugin", "hook"]
    )
    for (plugin, hook), (count, spent) in scene.hooks.items():
        calls.add_metric([plugin, hook], count)
        seconds.add_metric([plugin, hook], spent)
    yield from (calls, seconds)
