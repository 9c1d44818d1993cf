"""The Grafana dashboard names the metrics that there are, all of them, with labels that they have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support import native
from tests.support.documents import rows
from tests.support.fake_upstream import FakeUpstream, Stream, refusal
from tests.support.standing import SERVER, provider, route, standing

TEXT = (Path(__file__).parents[2] / "docs" / "grafana-dashboard.json").read_text()
OPERATIONS = rows(Path(__file__).parents[2] / "docs" / "operations.md", "Metrics")
NAME = re.compile(r"\b(?:maestro|process)_[a-z_]+\b")
_LABELS = re.compile(r"by \(([^)]*)\)|\{\{(\w+)\}\}|(\w+)(?:=|!=|=~|!~)\"")


def panels(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in document["panels"]:
        yield panel
        yield from panel.get("panels", [])


def expressions() -> list[tuple[str, str]]:
    """Every query with the legend that is shown for it."""
    document = json.loads(TEXT)
    return [
        (target["expr"], target["legendFormat"])
        for panel in panels(document)
        for target in panel.get("targets", [])
    ]


async def samples(folder: Path, upstream: FakeUpstream) -> dict[str, set[str]]:
    """The samples of a daemon that has done something of everything, with their labels."""
    upstream.play(refusal(500), Stream(*native.text("Hel", "lo")))
    text = SERVER + '[metrics]\nlisten = "127.0.0.1:0"\n' + provider("one", upstream.url)
    async with standing(folder, text + route("coder", "one/gpt-test")) as daemon:
        sent = {"model": "coder", "input": "Hi", "stream": True}
        async with daemon.session.post(f"{daemon.url}/responses", json=sent) as answer:
            await answer.read()
        async with daemon.session.post(f"{daemon.url}/responses", data=b"{") as answer:
            assert answer.status == 400
        assert daemon.daemon.observing.url is not None
        async with daemon.session.get(daemon.daemon.observing.url) as answer:
            shown = await answer.text()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(shown):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


async def test_every_metric_of_the_dashboard_exists_and_every_one_of_ours_is_on_it(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    there = await samples(tmp_path, upstream)
    named = {name for expression, _ in expressions() for name in NAME.findall(expression)}
    assert named - set(there) == set()
    ours = {re.sub("_(bucket|sum|count)$", "", name) for name in there if name.startswith("maestro_")}
    assert ours == {re.sub("_(bucket|sum|count)$", "", name) for name in named if name.startswith("maestro_")}


async def test_every_label_of_the_dashboard_is_one_of_its_metrics(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    there = await samples(tmp_path, upstream)
    for expression, legend in expressions():
        known = {"job", "instance", "le"}.union(*(there[name] for name in NAME.findall(expression)))
        for grouped, shown, compared in _LABELS.findall(f"{expression} {legend}"):
            for label in filter(None, [*grouped.split(", "), shown, compared]):
                assert label in known, (label, expression)


def test_panels_stand_beside_each_other_and_have_names_of_their_own() -> None:
    document = json.loads(TEXT)
    every = list(panels(document))
    assert len({panel["id"] for panel in every}) == len(every)
    assert len({panel["title"] for panel in every}) == len(every)
    taken: set[tuple[int, int]] = set()
    for panel in every:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken
        taken |= cells
        assert at["x"] + at["w"] <= 24


async def test_the_page_describes_every_metric_with_its_labels(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    there = await samples(tmp_path, upstream)
    described: dict[str, set[str]] = {}
    for row in OPERATIONS:
        for name in re.findall(r"`(maestro_[a-z_]+)`", row[0]):
            described[name] = set(re.findall(r"`([a-z_]+)`", row[1]))
    shown: dict[str, set[str]] = {}
    for name, labels in there.items():
        if name.startswith("maestro_"):
            shown.setdefault(re.sub("_(bucket|sum|count)$", "", name), set()).update(labels - {"le"})
    assert described == shown
