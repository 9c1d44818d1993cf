"""How much of a Copilot plan is left: from the user's page at GitHub, and from the headers of each answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qsl

from maestro_copilot import github_answers
from maestro_copilot.github_answers import number, text
from maestro_daemon.plugin import Allowance, QuotaReport

PREMIUM: Final = "premium_interactions"
_HEADERS: Final[Mapping[str, str]] = {
    "x-quota-snapshot-premium_interactions": PREMIUM,
    "x-quota-snapshot-premium_models": PREMIUM,
    "x-quota-snapshot-chat": "chat",
}
"""Header → what it counts (microsoft/vscode-copilot-chat, 2026-03)."""
_ORDER: Final = (PREMIUM, "chat", "completions")
_MOST: Final = 32


class QuotaBook:
    """The last that was heard of each allowance, whoever said it."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}
        self._events: dict[str, Mapping[str, Any]] = {}
        self._report = QuotaReport()

    def note_headers(self, headers: Mapping[str, str]) -> None:
        """Keep what an answer's headers (lower-case names) say; it is read only when somebody asks."""
        for header, name in _HEADERS.items():
            said = headers.get(header)
            if said is not None:
                self._said[name] = said
                self._events.pop(name, None)

    def note_snapshots(self, snapshots: Any) -> None:
        """Keep the ``copilot_quota_snapshots`` of an answer: by name, or a list of objects with names."""
        for name, fields in _named(snapshots):
            self._events[name] = fields
            self._said.pop(name, None)

    def note_user(self, answer: Mapping[str, Any], account: str) -> None:
        """Keep what ``GET /copilot_internal/user`` says; it is newer than all snapshots so far."""
        self._said.clear()
        self._events.clear()
        self._report = of_user(answer, account)

    def report(self, note: str | None = None) -> QuotaReport:
        """All that is known now."""
        known = {each.name: each for each in self._report.allowances}
        for name, said in self._said.items():
            known[name] = _merged(known.get(name), of_header(name, said))
        for name, fields in self._events.items():
            known[name] = _merged(known.get(name), of_snapshot(name, fields))
        resets = self._report.resets or next((each.resets for each in known.values() if each.resets), None)
        return replace(self._report, allowances=_ordered(known), resets=resets, note=note)

    def clear(self) -> None:
        """Forget everything: another account may have come."""
        self._said.clear()
        self._events.clear()
        self._report = QuotaReport()


def of_user(answer: Mapping[str, Any], account: str) -> QuotaReport:
    """The answer of ``GET /copilot_internal/user``, whatever of it is there."""
    resets = next(
        (said for key in ("quota_reset_date", "limited_user_reset_date") if (said := text(answer.get(key)))),
        text(answer.get("quota_reset_date_utc")) or None,
    )
    known = {name: of_snapshot(name, fields) for name, fields in _named(answer.get("quota_snapshots"))}
    monthly = github_answers.mapping(answer.get("monthly_quotas"))
    for name, left in github_answers.mapping(answer.get("limited_user_quotas")).items():
        if name not in known and len(known) < _MOST:
            known[name] = _filled(
                Allowance(name, entitlement=number(monthly.get(name)), remaining=number(left))
            )
    return QuotaReport(
        account=text(answer.get("login")) or account,
        plan=text(answer.get("copilot_plan")) or text(answer.get("access_type_sku")),
        resets=resets,
        allowances=_ordered(known),
    )


def of_snapshot(name: str, fields: Mapping[str, Any]) -> Allowance:
    """One snapshot as an object."""
    left = number(fields.get("quota_remaining"))
    entitlement = number(fields.get("entitlement"))
    unlimited = _flag(fields.get("unlimited"))
    if entitlement is not None and entitlement < 0:
        entitlement, unlimited = None, True
    return _filled(
        Allowance(
            name,
            entitlement=entitlement,
            remaining=left if left is not None else number(fields.get("remaining")),
            percent=number(fields.get("percent_remaining")),
            unlimited=unlimited,
            overage=number(fields.get("overage_count")),
            overage_permitted=_flag(fields.get("overage_permitted")),
            resets=text(fields.get("reset_date")) or None,
        )
    )


def of_header(name: str, said: str) -> Allowance:
    """One snapshot as a header: ``ent`` (-1: unlimited), ``rem`` (percent), ``ov``, ``ovPerm``, ``rst``."""
    fields = dict(parse_qsl(said[:2000], keep_blank_values=True, encoding="utf-8"))
    entitlement = number(fields.get("ent"))
    unlimited = entitlement is not None and entitlement < 0
    return _filled(
        Allowance(
            name,
            entitlement=None if unlimited else entitlement,
            percent=number(fields.get("rem")),
            unlimited=unlimited if entitlement is not None else None,
            overage=number(fields.get("ov")),
            overage_permitted=_flag(fields.get("ovPerm")),
            resets=text(fields.get("rst")) or None,
        )
    )


def _filled(one: Allowance) -> Allowance:
    """With what follows from the rest."""
    if one.unlimited or not one.entitlement:
        return one
    if one.remaining is None and one.percent is not None:
        return replace(one, remaining=round(one.entitlement * one.percent / 100, 1))
    if one.percent is None and one.remaining is not None:
        return replace(one, percent=round(100 * one.remaining / one.entitlement, 1))
    return one


def _merged(old: Allowance | None, new: Allowance) -> Allowance:
    if old is None:
        return new
    entitlement = new.entitlement if new.entitlement is not None else old.entitlement
    return _filled(
        replace(
            new,
            entitlement=entitlement,
            unlimited=new.unlimited if new.unlimited is not None else old.unlimited,
            overage=new.overage if new.overage is not None else old.overage,
            overage_permitted=(
                new.overage_permitted if new.overage_permitted is not None else old.overage_permitted
            ),
            resets=new.resets or old.resets,
        )
    )


def _named(snapshots: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(snapshots, list):
        snapshots = {text(each.get("quota_id")): each for each in snapshots if isinstance(each, dict)}
    for name, fields in list(github_answers.mapping(snapshots).items())[:_MOST]:
        if name and isinstance(fields, dict):
            yield PREMIUM if name == "premium_models" else name, fields


def _flag(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return value if isinstance(value, bool) else None


def _ordered(known: Mapping[str, Allowance]) -> tuple[Allowance, ...]:
    first = [known[name] for name in _ORDER if name in known]
    return (*first, *(each for name, each in known.items() if name not in _ORDER))
