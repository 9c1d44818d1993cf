"""What pytest loads where the daemon is installed: it tells which checks of the contract kit were skipped.

It imports nothing of the daemon or of the kit, so that other test suites do not notice it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

pytest.register_assert_rewrite("maestro_daemon.testing.oracle", "maestro_daemon.testing.response_oracle")

_MARK = "maestro_inapplicable"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Note which skips are the kit's, and why."""
    report = yield
    reason = getattr(getattr(call.excinfo, "value", None), _MARK, None)
    if report.skipped and isinstance(reason, str):
        report.user_properties.append((_MARK, reason))
    return report


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Tell what could not be checked; a skipped check is easily taken for one that passed."""
    told: dict[str, list[str]] = {}
    for report in terminalreporter.stats.get("skipped", ()):
        for name, reason in getattr(report, "user_properties", ()):
            if name == _MARK:
                told.setdefault(reason, []).append(report.nodeid.rpartition("::")[0].rpartition("::")[2])
                told[reason][-1] += " " + report.nodeid.rpartition("::")[2]
    if told:
        terminalreporter.section("parts of the provider contract that were not checked")
        for reason, checks in told.items():
            terminalreporter.write_line(f"{reason}:")
            for each in checks:
                terminalreporter.write_line(f"    {each}")
