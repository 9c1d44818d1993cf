"""The device flow: copilot.md §2, line by line."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import pytest

from maestro_copilot.github import GitHub
from maestro_copilot.github_answers import Granted
from maestro_copilot.github_hosts import Hosts
from maestro_copilot.login_flow import device_flow
from maestro_copilot.options import CopilotOptions
from maestro_daemon.plugin import CodeShown, LoginFailed, Waiting
from tests.support.copilot.github import (
    DENIED,
    EXPIRED,
    GRANTED,
    PENDING,
    SLOW_DOWN,
    Fault,
    GitHubHalf,
    Poll,
    error,
)
from tests.support.copilot.overheard import Overheard


class Flow:
    """Runs a login; time passes only by its own pauses."""

    def __init__(self, url: str, heard: Overheard, **table: Any) -> None:
        options = CopilotOptions.model_validate({"github_url": url, "github_api_url": url, **table})
        self.github = GitHub(Hosts.of(options), options)
        self.now = 0.0
        self.pauses: list[float] = []
        self._heard = heard

    async def steps(self) -> list[Any]:
        async def sleep(seconds: float) -> None:
            self.pauses.append(seconds)
            self.now += seconds

        steps = []
        async with aclosing(device_flow(self.github, clock=lambda: self.now, sleep=sleep)) as flow:
            async for step in flow:
                self._heard.text(step)
                steps.append(step)
        await self.github.aclose()
        return steps


@pytest.fixture
def flow(github_and_url: tuple[GitHubHalf, str], heard: Overheard) -> Any:
    return lambda **table: Flow(github_and_url[1], heard, **table)


async def test_a_login_shows_url_and_code_and_ends_with_a_token(flow, github) -> None:
    github.polls = [PENDING, PENDING, GRANTED]
    one = flow()
    code, *waits, granted = await one.steps()
    assert code == CodeShown("https://github.com/login/device", "ABCD-1234", 900.0)
    assert [type(each) for each in waits] == [Waiting] * 3
    assert isinstance(granted, Granted)
    assert github.state.github_user(f"token {granted.token.reveal()}") is github.state.user


async def test_what_is_asked_is_what_others_ask(flow, github) -> None:
    # §2: "{client_id, scope}, Accept: application/json"; "grant_type = urn:ietf:params:oauth:grant-type:…"
    await flow().steps()
    (begin, headers, asked), (poll, _, polled) = github.seen
    assert (begin, poll) == ("/login/device/code", "/login/oauth/access_token")
    assert asked == {"client_id": "Iv1.b507a08c87ecfe98", "scope": "read:user"}
    assert headers["Accept"] == "application/json"
    assert polled["client_id"] == asked["client_id"]


async def test_client_id_and_scope_are_the_operators(flow, github) -> None:
    await flow(client_id="Ov23own", scope="").steps()
    assert github.seen[0][2] == {"client_id": "Ov23own"}
    assert github.seen[1][2]["client_id"] == "Ov23own"


async def test_questions_keep_githubs_interval_and_a_margin(flow, github) -> None:
    # §2: "Poll with the interval plus 1–3 s margin (E,O)"
    github.device = {"expires_in": 900, "interval": 7}
    github.polls = [PENDING, GRANTED]
    one = flow()
    await one.steps()
    assert one.pauses == [8.0, 8.0]


@pytest.mark.parametrize("interval", [None, "soon", -1, 0, [], float("1e400")])
async def test_without_an_interval_it_is_five_seconds(flow, github, interval) -> None:
    github.device = {"expires_in": 900} if interval is None else {"expires_in": 900, "interval": interval}
    one = flow()
    if interval == float("inf"):
        github.device["interval"] = "1e400"
    await one.steps()
    assert one.pauses == [6.0]


async def test_slow_down_adds_five_seconds_or_takes_the_interval_it_says(flow, github) -> None:
    # §2: "slow_down (+5 s, or the `interval` it returns)"
    github.device = {"expires_in": 900, "interval": 5}
    github.polls = [SLOW_DOWN, error("slow_down", interval=12), error("slow_down", interval=3), GRANTED]
    one = flow()
    await one.steps()
    assert one.pauses == [6.0, 11.0, 13.0, 18.0]


async def test_the_pauses_are_bounded(flow, github) -> None:
    github.polls = [error("slow_down", interval=100_000), GRANTED]
    one = flow()
    await one.steps()
    assert one.pauses[1] == 61.0


async def test_an_expired_code_has_its_sentence(flow, github) -> None:
    github.polls = [PENDING, EXPIRED]
    last = (await flow().steps())[-1]
    assert isinstance(last, LoginFailed)
    assert last.reason == "expired"
    assert "has expired" in last.message


async def test_a_code_that_github_never_ends_expires_here(flow, github) -> None:
    github.polls = [PENDING]
    github.device = {"expires_in": 20, "interval": 5}
    one = flow()
    last = (await one.steps())[-1]
    assert last.reason == "expired"
    assert len(one.pauses) == 4


async def test_a_denial_has_its_sentence(flow, github) -> None:
    github.polls = [PENDING, DENIED]
    last = (await flow().steps())[-1]
    assert last == LoginFailed("denied", "The login was denied at GitHub; nothing has changed.")


@pytest.mark.parametrize("status", [200, 400])
async def test_other_errors_end_it_in_githubs_words(flow, github, status) -> None:
    github.polls = [
        Poll({"error": "incorrect_device_code", "error_description": "The code is wrong."}, status)
    ]
    last = (await flow().steps())[-1]
    assert last == LoginFailed("failed", "GitHub ended the login: The code is wrong.")


async def test_errors_are_read_with_any_status(flow, github) -> None:
    github.polls = [Poll(PENDING.body, 400), Poll(SLOW_DOWN.body, 429), GRANTED]
    assert isinstance((await flow().steps())[-1], Granted)


async def test_an_outage_while_waiting_is_said_and_waited_out(flow, github) -> None:
    github.polls = [Poll({"message": "unicorn"}, 502), Poll({"nothing": True}), GRANTED]
    steps = await flow().steps()
    problems = [step.problem for step in steps if isinstance(step, Waiting)]
    assert problems == [None, "unicorn", "GitHub answered the login with neither a token nor an error."]
    assert isinstance(steps[-1], Granted)


async def test_without_a_network_it_ends_at_once_with_a_sentence(flow) -> None:
    (last,) = await flow(github_url="http://127.0.0.1:1").steps()
    assert last.reason == "failed"
    assert last.message.startswith("The login could not begin: GitHub cannot be reached: ")


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_wrong_client_id_is_said_to_be_one(flow, github, status) -> None:
    github.device_fault = Fault(status, {"message": "Not Found"})
    (last,) = await flow().steps()
    assert last.reason == "failed"
    assert "client_id" in last.message
    assert "Not Found" in last.message


@pytest.mark.parametrize("status", [200, 400])
async def test_an_application_without_the_device_flow_is_said_to_be_one(flow, github, status) -> None:
    github.device_fault = Fault(
        status, {"error": "device_flow_disabled", "error_description": "Device Flow must be enabled."}
    )
    if status == 200:
        github.device = {
            "device_code": None,
            "error": "device_flow_disabled",
            "error_description": "Device Flow",
        }
        github.device_fault = None
    (last,) = await flow(client_id="Ov23own").steps()
    assert "'Ov23own'" in last.message
    assert "Device Flow" in last.message


@pytest.mark.parametrize(
    "answer", [b"<html>", [], None, {"device_code": ""}, {"device_code": "a b"}, {"user_code": 5}]
)
async def test_nonsense_is_said_to_be_nonsense(flow, github, answer) -> None:
    if isinstance(answer, dict):
        github.device = answer
    else:
        github.device_fault = Fault(200, answer)
    (last,) = await flow().steps()
    assert last.reason == "failed"
    assert "something else than" in last.message


async def test_a_redirect_names_the_option(flow, github) -> None:
    github.device_fault = Fault(302, "", {"location": "https://elsewhere.example/"})
    (last,) = await flow().steps()
    assert "github_url" in last.message
    assert "elsewhere" not in last.message


@pytest.mark.parametrize("url", ["javascript:alert(1)", 5, None, ""])
async def test_a_page_that_cannot_be_opened_is_replaced_by_the_usual_one(flow, github, url) -> None:
    github.device["verification_uri"] = url
    one = flow()
    code, *_ = await one.steps()
    assert code.url.endswith("/login/device")
    assert code.url.startswith("http://127.0.0.1")


async def test_what_github_says_cannot_move_a_terminals_cursor(flow, github) -> None:
    github.device["user_code"] = "AB\x1b[2JCD\n"
    code, *_ = await flow().steps()
    assert code.code.isprintable()


async def test_a_flow_that_is_closed_asks_nothing_more(flow, github) -> None:
    one = flow()
    async with aclosing(device_flow(one.github)) as steps:
        async for step in steps:
            if isinstance(step, Waiting):
                break
    await one.github.aclose()
    assert github.counts["/login/oauth/access_token"] == 0
