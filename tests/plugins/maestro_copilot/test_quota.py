"""What is left of a plan: copilot.md §10, with everything missing that can."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_copilot import quota
from maestro_copilot.quota import PREMIUM, QuotaBook
from maestro_daemon.plugin import Allowance, CredentialsRefused, ProviderUnavailable, UpstreamUnreachable
from tests.support.copilot.github import NO_ACCESS, Fault

HEADER = "ent=300&ov=0.0&ovPerm=false&rem=40.0&rst=2026-12-01T00%3A00%3A00Z"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
NAMES = (
    "copilot_plan",
    "access_type_sku",
    "quota_reset_date",
    "quota_snapshots",
    "limited_user_quotas",
    "login",
)


async def test_plan_and_premium_requests_are_githubs(make, github) -> None:
    account = make(token=github.state.github_token())
    report = await account.quota()
    assert (report.account, report.plan, report.resets) == ("octocat", "individual", "2026-12-01")
    premium, *others = report.allowances
    assert premium == Allowance(
        PREMIUM,
        entitlement=300,
        remaining=212.5,
        percent=70.8,
        unlimited=False,
        overage=0,
        overage_permitted=False,
    )
    assert [(each.name, each.unlimited) for each in others] == [("chat", True), ("completions", True)]


async def test_the_github_token_is_what_asks(make, github) -> None:
    # §10: "Authorization: token <gh> (the GitHub token, not the Copilot token)"
    token = github.state.github_token()
    await make(token=token).quota()
    path, headers, _ = github.seen[0]
    assert path == "/copilot_internal/user"
    assert headers["Authorization"] == f"token {token}"


async def test_headers_of_later_answers_count(make, github) -> None:
    account = make(token=github.state.github_token())
    await account.quota()
    account.note_quota({"x-quota-snapshot-premium_interactions": HEADER, "content-type": "x"})
    github.user_faults = [Fault(500)]
    report = await account.quota()
    premium = report.allowances[0]
    assert (premium.remaining, premium.percent, premium.entitlement) == (120.0, 40.0, 300)
    assert report.plan == "individual"
    assert report.note.startswith("from earlier answers, since GitHub could not be asked")
    assert (await account.quota()).allowances[0].remaining == 212.5


async def test_snapshots_of_a_terminal_event_count(make, github) -> None:
    # §7: "response.completed may carry copilot_quota_snapshots"
    account = make(token=github.state.github_token())
    account.note_snapshots({PREMIUM: {"entitlement": "300", "percent_remaining": 10.0, "unlimited": False}})
    github.state.user.copilot = None
    (premium,) = (await account.quota()).allowances
    assert (premium.entitlement, premium.remaining) == (300, 30.0)


async def test_a_github_without_the_page_is_no_failure(make, github) -> None:
    # §10: "404 on some GHE"
    github.state.user.copilot = None
    report = await make(token=github.state.github_token()).quota()
    assert report.allowances == ()
    assert report.note == "this GitHub tells no quota (HTTP 404)"


async def test_without_anything_known_the_failure_is_told(make, github, heard) -> None:
    account = make(token=github.state.github_token(), github_api_url="http://127.0.0.1:1")
    with pytest.raises(UpstreamUnreachable) as failure:
        await account.quota()
    heard.error(failure.value)
    with pytest.raises(ProviderUnavailable, match="maestro-daemon login home"):
        await make("home").quota()


@pytest.mark.parametrize(("status", "body"), [(401, {"message": "Bad credentials"}), (403, NO_ACCESS)])
async def test_a_refusal_is_told_though_something_is_known(make, github, heard, status, body) -> None:
    account = make(token=github.state.github_token())
    await account.quota()
    github.user_faults = [Fault(status, body)]
    with pytest.raises(CredentialsRefused) as failure:
        await account.quota()
    heard.error(failure.value)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("x-quota-snapshot-premium_interactions", PREMIUM),
        ("x-quota-snapshot-premium_models", PREMIUM),
        ("x-quota-snapshot-chat", "chat"),
    ],
)
def test_each_header_is_read(header: str, name: str) -> None:
    # §10: "url-encoded ent (−1 = unlimited), rem (% left), ov, ovPerm, rst"
    book = QuotaBook()
    book.note_headers({header: HEADER})
    report = book.report()
    assert report.allowances == (
        Allowance(name, 300, 120.0, 40.0, False, 0.0, False, "2026-12-01T00:00:00Z"),
    )
    assert report.resets == "2026-12-01T00:00:00Z"


@pytest.mark.parametrize("said", ["x&" * 500, "ent=300&rem=40" + "&" * 900, "%", "=&=", "ent=%FF&rem=40", ""])
def test_an_odd_header_spoils_no_report(said: str) -> None:
    # §10: all optional
    book = QuotaBook()
    book.note_headers({"x-quota-snapshot-chat": said})
    assert [each.name for each in book.report().allowances] == ["chat"]


def test_minus_one_is_without_limit() -> None:
    allowance = quota.of_header(PREMIUM, "ent=-1&rem=100.0")
    assert (allowance.unlimited, allowance.entitlement, allowance.remaining) == (True, None, None)
    assert quota.of_snapshot(PREMIUM, {"entitlement": -1}).unlimited


def test_the_free_plans_own_fields_are_read() -> None:
    report = quota.of_user(
        {
            "access_type_sku": "free_limited_copilot",
            "limited_user_quotas": {"chat": 20, "completions": "1500"},
            "monthly_quotas": {"chat": 50, "completions": 2000},
            "limited_user_reset_date": "2026-12-07",
        },
        "octocat",
    )
    assert (report.plan, report.resets, report.account) == ("free_limited_copilot", "2026-12-07", "octocat")
    assert [(each.name, each.remaining, each.percent) for each in report.allowances] == [
        ("chat", 20.0, 40.0),
        ("completions", 1500.0, 75.0),
    ]


def test_a_list_of_snapshots_is_read_by_its_ids() -> None:
    book = QuotaBook()
    book.note_snapshots([{"quota_id": "chat", "unlimited": True}, 5, {"unlimited": True}])
    assert [each.name for each in book.report().allowances] == ["chat"]


def test_another_account_starts_with_nothing() -> None:
    book = QuotaBook()
    book.note_headers({"x-quota-snapshot-chat": HEADER})
    book.note_snapshots({"chat": {"remaining": 1}})
    book.clear()
    assert book.report().allowances == ()


def test_noting_headers_costs_next_to_nothing_to_remember() -> None:
    book = QuotaBook()
    for number in range(10_000):
        book.note_headers({"x-quota-snapshot-chat": f"ent={number}", f"x-quota-snapshot-{number}": HEADER})
        book.note_snapshots({"chat": {"remaining": number}})
    assert len(book._said) + len(book._events) == 1


@given(st.dictionaries(st.sampled_from(NAMES), json_values))
def test_any_answer_gives_a_report(answer: dict[str, Any]) -> None:
    report = quota.of_user(answer, "")
    assert report.plan.isprintable() or report.plan == ""
    assert all(isinstance(each, Allowance) for each in report.allowances)


@given(json_values, st.text())
def test_any_snapshot_gives_a_report(snapshots: Any, header: str) -> None:
    book = QuotaBook()
    book.note_snapshots(snapshots)
    book.note_headers({"x-quota-snapshot-chat": header})
    book.report()
