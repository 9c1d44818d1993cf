"""Custom tools for upstreams that know functions only: raw text as the one string argument ``input``.

A custom tool's call is raw text (a patch, a program). As a function it takes ``{"input": "<the text>"}``; on
the way back `InputUnwrapper` makes the text of the arguments while they stream.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from maestro_daemon.protocol.json import dumps

INPUT: Final = "input"

OTHER_KEYS: Final = frozenset({"content", "patch", "code", "text", "script", "source", "diff"})
"""What weak models write for ``input``; taken for it where it is the only key and its value a string."""

_GRAMMAR_INTRODUCTION: Final = "`input` must be text that this {syntax} grammar accepts:"
_INPUT_DESCRIPTION: Final = "The whole raw text of the call, exactly as the tool is to receive it."


def input_schema() -> dict[str, Any]:
    """The JSON Schema of a custom tool's arguments."""
    return {
        "type": "object",
        "properties": {INPUT: {"type": "string", "description": _INPUT_DESCRIPTION}},
        "required": [INPUT],
        "additionalProperties": False,
    }


def described_grammar(description: str, form: Mapping[str, Any] | None) -> str:
    """A function's description for a custom tool: its own, then the text of its grammar if it has one.

    `form` is the tool's ``format``: ``{"type": "grammar", "syntax", "definition"}`` or any other.
    """
    if not form or form.get("type") != "grammar" or not isinstance(form.get("definition"), str):
        return description
    introduction = _GRAMMAR_INTRODUCTION.format(syntax=form.get("syntax") or "lark")
    return "\n\n".join(part for part in (description, f"{introduction}\n{form['definition']}") if part)


def wrap_input(text: str) -> str:
    """The arguments of the function call that stands for a custom call with this input."""
    return dumps({INPUT: text}).decode()


_State = Literal["prefix", "string", "held", "raw", "ended"]

_SPACE: Final = " \t\n\r"
_PREFIX: Final = ("{", f'"{INPUT}"', ":", '"')
_LONGEST_PREFIX: Final = 4096
_STOP: Final = re.compile(r'["\\]')
_HEX: Final = re.compile(r"[0-9a-fA-F]{4}")
_HEX_START: Final = re.compile(r"[0-9a-fA-F]{0,3}")
_LOW_HALF: Final = re.compile(r"\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_LOW_HALF_START: Final = re.compile(r"(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?")
_ESCAPES: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_REPLACEMENT: Final = "\ufffd"


class InputUnwrapper:
    """Turns the streamed JSON text of ``{"input": "…"}`` into the raw input, piece by piece.

    Nothing is said before the shape is sure. Then:

    - ``{"input": "`` in any white space: the string streams, decoded; what follows its end is ignored. An
      escape that JSON does not know and a raw line break stand for themselves, half a surrogate pair is
      U+FFFD.
    - Text that cannot be a JSON object or string streams as it is: the model wrote the raw input.
    - Anything else is held until `close`, and is then, if it is whole JSON: the value of ``input`` at any
      place of an object, if a string; the value of one of `OTHER_KEYS`, if it is the only key and a string;
      a JSON string's own value. Else the arguments' text as it is.
    """

    __slots__ = ("_escape", "_held", "_pieces", "_position", "_state", "_token")

    def __init__(self) -> None:
        self._state: _State = "prefix"
        self._held = ""
        self._position = 0
        self._token = 0
        self._pieces: list[str] = []
        self._escape = ""

    def feed(self, arguments: str) -> str:
        """Take the next piece of the arguments; return the input that it makes known, often ""."""
        match self._state:
            case "string":
                return self._string(arguments)
            case "prefix":
                return self._prefix(arguments)
            case "raw":
                return arguments
            case "held":
                self._pieces.append(arguments)
        return ""

    def close(self) -> str:
        """Return what is left of the input. Nothing may be fed afterwards."""
        state, self._state = self._state, "ended"
        match state:
            case "string":
                return _REPLACEMENT if _HEX.fullmatch(self._escape, 2, 6) else ""
            case "prefix":
                return self._held
            case "held":
                return _whole_input("".join((self._held, *self._pieces)))
        return ""

    def _prefix(self, arguments: str) -> str:
        held = self._held = self._held + arguments
        position = self._position
        while self._token < len(_PREFIX):
            while position < len(held) and held[position] in _SPACE:
                position += 1
            self._position = position
            token = _PREFIX[self._token]
            found = held[position : position + len(token)]
            if found == token:
                position += len(token)
                self._token += 1
            elif token.startswith(found):
                if len(held) > _LONGEST_PREFIX:
                    self._state = "held"
                return ""
            else:
                return self._other_shape(found[0])
        self._state = "string"
        self._held = ""
        return self._string(held[position:])

    def _other_shape(self, found: str) -> str:
        if (self._token == 0 and found != '"') or (self._token == 1 and found not in '"}'):
            held, self._held = self._held, ""
            self._state = "raw"
            return held
        self._state = "held"
        return ""

    def _string(self, arguments: str) -> str:
        text = self._escape + arguments
        self._escape = ""
        known: list[str] = []
        position = 0
        while (stop := _STOP.search(text, position)) is not None:
            at = stop.start()
            known.append(text[position:at])
            if text[at] == '"':
                self._state = "ended"
                return "".join(known)
            read = _read_escape(text, at)
            if read is None:
                self._escape = text[at:]
                return "".join(known)
            character, position = read
            known.append(character)
        known.append(text[position:])
        return "".join(known)


def _read_escape(text: str, at: int) -> tuple[str, int] | None:
    """The character that the escape at `at` stands for, and where it ends; None while it may go on."""
    kind = text[at + 1 : at + 2]
    if kind == "":
        return None
    if kind != "u":
        character = _ESCAPES.get(kind)
        return ("\\", at + 1) if character is None else (character, at + 2)
    digits = text[at + 2 : at + 6]
    if _HEX.fullmatch(digits) is None:
        return None if _HEX_START.fullmatch(digits) and at + 2 + len(digits) == len(text) else ("\\", at + 1)
    code = int(digits, 16)
    end = at + 6
    if not 0xD800 <= code <= 0xDFFF:
        return chr(code), end
    if code >= 0xDC00:
        return _REPLACEMENT, end
    low = _LOW_HALF.match(text, end)
    if low is not None:
        return chr(0x10000 + ((code - 0xD800) << 10) + (int(low[1], 16) - 0xDC00)), low.end()
    return None if _LOW_HALF_START.fullmatch(text, end) else (_REPLACEMENT, end)


def _whole_input(arguments: str) -> str:
    try:
        value = json.loads(arguments, strict=False)
    except (ValueError, RecursionError):
        return arguments
    if isinstance(value, dict):
        found = value.get(INPUT)
        if not isinstance(found, str) and len(value) == 1:
            key = next(iter(value))
            found = value[key] if key in OTHER_KEYS else None
        value = found
    if not isinstance(value, str):
        return arguments
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
