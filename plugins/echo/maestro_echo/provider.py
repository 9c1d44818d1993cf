"""A model without a model: it reads its prompt and does as it is told."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Iterator, Sequence

from maestro_daemon.plugin import (
    Accepted,
    AssistantTurn,
    Called,
    CredentialsRefused,
    Delta,
    Finish,
    Model,
    Part,
    ReasoningDelta,
    RefusalDelta,
    Reply,
    RequestInvalid,
    ResponseEvent,
    ResponseRequest,
    Retelling,
    TextDelta,
    TextPart,
    ToolCallDelta,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamUnreachable,
    Usage,
    UserTurn,
    folded,
    retell,
)
from maestro_echo import script
from maestro_echo.options import EchoOptions
from maestro_echo.script import Step

_CHARACTERS_OF_A_TOKEN = 4
_log = logging.getLogger(__name__)


class EchoProvider:
    """Answers in this process; nothing is sent anywhere."""

    def __init__(self, name: str, options: EchoOptions) -> None:
        self.name = name
        self._options = options
        self._closed = asyncio.Event()

    async def models(self) -> Sequence[Model]:
        """Those of the options."""
        return [Model(id, tools=True) for id in self._options.models]

    async def complete(self, request: ResponseRequest) -> Reply:
        """The stream, added up."""
        return await folded(self.stream(request))

    async def stream(self, request: ResponseRequest) -> AsyncGenerator[ResponseEvent, None]:
        """Read the prompt, then tell what it says as deltas; the reducer makes events of them."""
        retelling = retell(request, provider=self.name)
        unheeded = [*retelling.left_out(), *(key for key in retelling.fields if key != "max_output_tokens")]
        if unheeded:
            _log.warning("%s does not heed all of a request: %s", self.name, ", ".join(unheeded[:32]))
        steps = _steps(retelling)
        _refuse_unknown_tools(retelling, steps)
        _refuse_at_once(self.name, steps)
        reducer = retelling.reducer()
        yield Accepted()
        performance = _Performance(self.name, retelling, self._options.pace)
        for step in steps:
            for pause, delta in performance.deltas(step):
                await self._wait(pause)
                for event in reducer.feed(delta):
                    yield event
            if performance.over:
                break
            if isinstance(step, script.Wait):
                await self._wait(step.seconds)
        for delta in performance.end():
            for event in reducer.feed(delta):
                yield event
        for event in reducer.finish():
            yield event

    async def aclose(self) -> None:
        """End the answers under way."""
        self._closed.set()

    async def _wait(self, seconds: float | None) -> None:
        """Wait so long, None for ever. Raises `UpstreamBroken` once the provider is closed."""
        if seconds == 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            return
        raise UpstreamBroken(f"{self.name} was closed.")


class _Performance:
    """One answer while it is told."""

    def __init__(self, provider: str, retelling: Retelling, pace: float) -> None:
        self.over = False
        self._provider = provider
        self._retelling = retelling
        self._pace = pace
        self._words = 0
        self._calls = 0
        self._cut = False
        self._stopped: str | None = None
        self._usage: Usage | None = None
        limit = retelling.fields.get("max_output_tokens")
        self._limit = limit if isinstance(limit, int) else None

    def deltas(self, step: Step) -> Iterator[tuple[float, Delta]]:
        """What the step says, each with the seconds to wait before it."""
        match step:
            case script.Say():
                for word in step.words():
                    if self._words == self._limit:
                        self._stop("length")
                        return
                    self._words += 1
                    yield self._pace, TextDelta(word)
            case script.Think(text):
                self._words += 1
                yield self._pace, ReasoningDelta(text)
            case script.Refuse(text):
                self._words += 1
                yield self._pace, RefusalDelta(text)
            case script.Call():
                self._words += 1
                yield self._pace, self._called(step)
            case script.Slow(seconds):
                self._pace = seconds
            case script.Stop(reason):
                self._stop(reason)
            case script.Cut():
                self._cut = self.over = True
            case script.Fail(_, message):
                raise UpstreamBroken(f"{self._provider}: {message}")
            case script.BeUnreachable():
                raise UpstreamBroken(f"{self._provider} is gone.")
            case script.Count(given, made):
                self._usage = Usage(input_tokens=given, output_tokens=made)
            case script.Wait():
                pass

    def end(self) -> Iterator[Delta]:
        """How the answer ends; nothing says so where it was cut."""
        if self._cut:
            return
        given = 1 + self._retelling.characters() // _CHARACTERS_OF_A_TOKEN
        yield self._usage or Usage(input_tokens=given, output_tokens=self._words)
        yield Finish(self._stopped or ("tool_calls" if self._calls else "stop"))

    def _stop(self, reason: str) -> None:
        self._stopped = reason
        self.over = True

    def _called(self, call: script.Call) -> ToolCallDelta:
        number = self._calls
        self._calls += 1
        name = call.tool or self._retelling.tools[0].name
        return ToolCallDelta(number, id=call.id, name=name, arguments=json.dumps(dict(call.arguments)))


def _steps(retelling: Retelling) -> list[Step]:
    """What is to be done now: the part of the last prompt that is for this turn."""
    prompts = [(at, turn) for at, turn in enumerate(retelling.turns) if isinstance(turn, UserTurn)]
    if not prompts:
        return [script.Say("There is no prompt.")]
    if retelling.compacts:
        told = [_text(turn.parts) for _, turn in prompts[:-1]]
        return [script.Say("\n".join(told) or "Nothing was said.")]
    at, prompt = prompts[-1]
    answered = [turn for turn in retelling.turns[at + 1 :] if isinstance(turn, AssistantTurn)]
    turns = script.read(_text(prompt.parts))
    if len(answered) >= len(turns):
        return [script.Say(_returned(answered[-1]))]
    return _with_demanded_call(retelling, turns[len(answered)]) or [script.Say("There is nothing to say.")]


def _with_demanded_call(retelling: Retelling, steps: list[Step]) -> list[Step]:
    """The steps, and a call where the client wants one that they lack."""
    choice = retelling.choice
    if choice is None or choice.mode != "required" or any(isinstance(step, script.Call) for step in steps):
        return steps
    return [*steps, script.Call(choice.name or "", {})]


def _returned(turn: AssistantTurn) -> str:
    """What the tools said."""
    calls = [said for said in turn.said if isinstance(said, Called)]
    if not calls:
        return "There is nothing to say."
    return "\n".join(f"{call.name} returned: {_text(call.output or ())}" for call in calls)


def _text(parts: Sequence[Part]) -> str:
    return "\n".join(part.text for part in parts if isinstance(part, TextPart))


def _refuse_unknown_tools(retelling: Retelling, steps: list[Step]) -> None:
    names = [each.name for each in retelling.tools]
    for step in steps:
        if isinstance(step, script.Call) and (not names or (step.tool and step.tool not in names)):
            known = f"it offers {', '.join(names)}" if names else "it offers none"
            raise RequestInvalid(
                f"The prompt calls {step.tool or 'a tool'}, which the request does not offer: {known}.",
                param="tools",
            )


def _refuse_at_once(provider: str, steps: list[Step]) -> None:
    """Before anything was said a failure is one of the whole answer, as if a server had refused it."""
    for step in steps:
        match step:
            case script.Fail(401 | 403 as status, message):
                raise CredentialsRefused(message, status=status, code=step.code)
            case script.Fail(status, message):
                raise UpstreamRefused(message, status=status, code=step.code, retry_after=step.retry_after)
            case script.BeUnreachable():
                raise UpstreamUnreachable(f"{provider} cannot be reached.")
            case script.Slow():
                continue
            case _:
                return
