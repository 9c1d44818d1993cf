"""What ``maestro-daemon models`` prints of a document that it was given."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_daemon.cli import models

PLAIN = {"id": "home/a", "provider": "home", "context_window": 8192, "tools": None, "reasoning_efforts": []}
RICH = {
    "id": "work/b",
    "provider": "work",
    "context_window": 400000,
    "max_output_tokens": 64000,
    "tools": True,
    "vision": False,
    "reasoning_efforts": ["low", "high"],
    "details": {"endpoints": ["/responses"]},
}


def shown(capsys: pytest.CaptureFixture[str], **document: Any) -> tuple[list[list[str]], str]:
    models._show(document)
    out, err = capsys.readouterr()
    return [line.split("  ") for line in out.splitlines()], err


def cells(line: list[str]) -> list[str]:
    return [cell.strip() for cell in line if cell.strip()]


def test_limits_abilities_and_endpoints_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    (head, plain, rich), err = shown(capsys, models=[PLAIN, RICH], problems={})
    assert cells(head) == ["MODEL", "CONTEXT", "OUTPUT", "TOOLS", "VISION", "EFFORTS", "ENDPOINTS"]
    assert cells(plain) == ["home/a", "8192", "-", "-", "-", "-", "-"]
    assert cells(rich) == ["work/b", "400000", "64000", "yes", "no", "low high", "/responses"]
    assert err == ""


def test_what_no_model_says_has_no_column(capsys: pytest.CaptureFixture[str]) -> None:
    (head, _), _ = shown(capsys, models=[PLAIN], problems={})
    assert cells(head) == ["MODEL", "CONTEXT", "TOOLS"]


def test_an_old_list_is_told_from_none(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = shown(capsys, models=[RICH], problems={"work": "It is down.", "away": "It never was."})
    assert err.splitlines() == [
        "work is listed as it was before: It is down.",
        "away lists nothing now: It never was.",
    ]
