"""The kit finds every fault: a provider with one is told by the check that is made for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_daemon.testing import Breach, ChatWire, Fitting, ResponsesWire, Stream, Wire
from maestro_daemon.testing.answers import CUT_UP
from tests.testing import wrong_answers, wrong_ends, wrong_failures, wrong_identity
from tests.testing.checks import every_check, run_check
from tests.testing.right import OfRight
from tests.testing.wrong import EVERY, Wrong

ROOT = Path(__file__).parents[2]
MODULES = (wrong_answers, wrong_ends, wrong_failures, wrong_identity)
each_wrong = pytest.mark.parametrize("fault", EVERY, ids=[each.name for each in EVERY])


@pytest.fixture(autouse=True)
def _ends_what_is_left() -> Iterator[None]:
    yield
    for child in wrong_ends.CHILDREN:
        child.kill()
        child.wait()
    wrong_ends.CHILDREN.clear()
    for session in tuple(wrong_ends.SESSIONS):
        session.detach()


@each_wrong
def test_a_fault_fails_its_check_with_a_message_that_says_what_is_wanted(
    fault: Wrong, tmp_path: Path
) -> None:
    with pytest.raises(Breach, match=re.escape(fault.says)) as raised:
        run_check(fault.contract, fault.check, tmp_path)
    said = str(raised.value).splitlines()
    assert said[0].startswith("The contract wants: ")
    assert said[-1] == f"It is written in docs/plugins.md#{fault.section}"


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # one of them leaves what warns when it goes
@each_wrong
def test_a_fault_fails_no_other_check(fault: Wrong, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("_blockbuster").deactivate()  # what blocks is to fail one check, and not all
    failed = set()
    for id in every_check():
        try:
            run_check(fault.contract, id, tmp_path)
        except Breach:
            failed.add(id)
        except pytest.skip.Exception as skipped:
            raise AssertionError(f"{id}: {skipped}") from None
    assert failed == {fault.check, *fault.also}


def test_every_check_has_a_provider_that_fails_it() -> None:
    found = {each.check.partition("[")[0] for each in EVERY}
    assert {id.partition("[")[0] for id in every_check()} - found == set()


@pytest.mark.parametrize("id", every_check())
def test_a_provider_without_fault_passes_every_check(id: str, tmp_path: Path) -> None:
    run_check(OfRight, id, tmp_path)


def test_every_section_that_a_message_names_is_a_heading_of_the_page() -> None:
    page = (ROOT / "docs/plugins.md").read_text()
    anchors = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    }
    named = {
        section
        for path in (ROOT / "maestro_daemon/testing").glob("*.py")
        for section in re.findall(
            r'(?:, |_SECTION = |section = )"([a-z]+(?:-[a-z]+)*)"[),\n]', path.read_text()
        )
    }
    assert {"streams", "leaving-and-ending", "errors"} <= named
    wanted = {section for section in named if section in SECTIONS}
    assert wanted == SECTIONS
    assert anchors >= SECTIONS


SECTIONS = {
    "a-provider",
    "accounts",
    "continued-responses",
    "errors",
    "hooks",
    "leaving-and-ending",
    "models",
    "options",
    "secrets",
    "streams",
    "testing-your-provider",
    "the-event-loop",
    "what-nobody-knows",
    "whole-answers",
}


@pytest.mark.parametrize("wire", [ResponsesWire(), ChatWire()], ids=["responses", "chat"])
def test_answers_are_cut_within_characters(wire: Wire) -> None:
    played = wire.played(CUT_UP)
    assert isinstance(played, Fitting)
    assert isinstance(played.stream, Stream)
    pieces = [step for step in played.stream.steps if isinstance(step, bytes)]
    assert b"".join(pieces).decode()
    assert any(piece != piece.decode("utf-8", "ignore").encode() for piece in pieces)
