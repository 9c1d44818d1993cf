"""The little language of prompts: what a line tells the model to do.

A line that begins with one of the commands below is obeyed, every other one is said as it stands::

    /say TEXT                   say TEXT
    /times N TEXT               say TEXT N times
    /think TEXT                 reason
    /refuse TEXT                refuse, in these words
    /call [id=ID] [TOOL] [{ARGUMENTS}]
                                call a tool, the first one if none is named, with a JSON object
    /slow DURATION              wait that long before each word from here on: 200ms, 1.5s, 1m
    /wait DURATION              be silent for so long
    /hang                       be silent until the client leaves
    /stop length                end here as an answer that reached its limit (or: /stop content_filter)
    /cut                        end here without an end, as a connection that broke
    /fail STATUS [code=CODE] [after=DURATION] [MESSAGE]
                                refuse with an HTTP status; after the first output, break off
    /unreachable                be a server that is not there
    /usage INPUT OUTPUT         count so many tokens instead of characters and words
    /then                       what follows is for the next turn, when the tools have answered

A TEXT in double quotes is read as a JSON string, for line breaks and for space at its ends.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from maestro_daemon.plugin import RequestInvalid

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}
_MOST_TIMES: Final = 1_000_000
_WORD: Final = re.compile(r"\S+\s*|\s+")


@dataclass(frozen=True, slots=True)
class Say:
    """Words, each said by itself."""

    text: str

    def words(self) -> list[str]:
        """The words with the space after them; joined they are `text`."""
        return _WORD.findall(self.text)


@dataclass(frozen=True, slots=True)
class Think:
    """Reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """A refusal in these words."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the tool of that name, "" for the first one; an `id` of "" lets the house make one."""

    tool: str
    arguments: Mapping[str, Any]
    id: str = ""


@dataclass(frozen=True, slots=True)
class Slow:
    """Seconds before each word from here on."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Silence for so many seconds, None for ever."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Stop:
    """The end of the answer before its time."""

    reason: Literal["length", "content_filter"]


@dataclass(frozen=True, slots=True)
class Cut:
    """The end of the connection before that of the answer."""


@dataclass(frozen=True, slots=True)
class Fail:
    """An error answer. `retry_after` is in seconds."""

    status: int
    message: str
    code: str | None = None
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class BeUnreachable:
    """No answer at all."""


@dataclass(frozen=True, slots=True)
class Count:
    """The tokens that the answer is said to have taken."""

    given: int
    made: int


Step = Say | Think | Refuse | Call | Slow | Wait | Stop | Cut | Fail | BeUnreachable | Count


def read(prompt: str) -> list[list[Step]]:
    """The steps of each turn. Raises `RequestInvalid`, with the line, for a command that makes no sense."""
    turns: list[list[Step]] = [[]]
    said: list[str] = []

    def speak() -> None:
        text = "\n".join(said).strip("\n")
        if text:
            turns[-1].append(Say(text))
        said.clear()

    for number, line in enumerate(prompt.splitlines(), 1):
        command, _, rest = line.strip().partition(" ")
        if command == "/then":
            speak()
            turns.append([])
        elif (make := _COMMANDS.get(command)) is not None:
            speak()
            try:
                turns[-1].append(make(rest.strip()))
            except ValueError as error:
                raise RequestInvalid(
                    f"Line {number} of the prompt, {command}: {error}.", param="input"
                ) from None
        else:
            said.append(line)
    speak()
    return turns


def _text(rest: str) -> str:
    if len(rest) > 1 and rest[0] == rest[-1] == '"':
        try:
            return str(json.loads(rest))
        except ValueError:
            pass
    return rest


def _times(rest: str) -> Step:
    count, _, text = rest.partition(" ")
    if not count.isdecimal() or not 0 < int(count) <= _MOST_TIMES:
        raise ValueError(f"must be followed by a number up to {_MOST_TIMES} and a text")
    return Say(f"{_text(text)} " * int(count))


def _call(rest: str) -> Step:
    named = re.match(r"id=(\S+)\s*", rest)
    if named is not None:
        rest = rest[named.end() :]
    tool, brace, after = rest.partition("{")
    try:
        arguments = json.loads(brace + after) if brace else {}
    except ValueError as error:
        raise ValueError(f"the arguments are no JSON object: {error}") from None
    return Call(tool.strip(), MappingProxyType(arguments), named[1] if named is not None else "")


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m)", text)
    if match is None:
        raise ValueError('must be followed by a duration like "200ms", "1.5s" or "1m"')
    return float(match[1]) * _SECONDS[match[2]]


def _stop(rest: str) -> Step:
    if rest == "length":
        return Stop("length")
    if rest == "content_filter":
        return Stop("content_filter")
    raise ValueError('must be followed by "length" or "content_filter"')


def _count(rest: str) -> Step:
    numbers = rest.split()
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        raise ValueError("must be followed by two numbers, the tokens of input and output")
    return Count(int(numbers[0]), int(numbers[1]))


def _fail(rest: str) -> Step:
    status, *words = rest.split(" ")
    if not re.fullmatch(r"[45]\d\d", status):
        raise ValueError("must be followed by a status from 400 to 599")
    told: dict[str, str] = {}
    while words and (option := re.fullmatch(r"(code|after)=(\S+)", words[0])) is not None:
        told[option[1]] = option[2]
        words.pop(0)
    after = _seconds(told["after"]) if "after" in told else None
    return Fail(int(status), " ".join(words) or f"The prompt asked for a {status}.", told.get("code"), after)


_COMMANDS: Final[Mapping[str, Callable[[str], Step]]] = {
    "/say": lambda rest: Say(_text(rest)),
    "/times": _times,
    "/think": lambda rest: Think(_text(rest)),
    "/refuse": lambda rest: Refuse(_text(rest)),
    "/call": _call,
    "/slow": lambda rest: Slow(_seconds(rest)),
    "/wait": lambda rest: Wait(_seconds(rest)),
    "/hang": lambda rest: Wait(None),
    "/stop": _stop,
    "/cut": lambda rest: Cut(),
    "/fail": _fail,
    "/usage": _count,
    "/unreachable": lambda rest: BeUnreachable(),
}
