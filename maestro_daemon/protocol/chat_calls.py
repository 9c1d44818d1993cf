"""Which call of an answer a piece of `tool_calls` belongs to, whatever the server does with index and id.

Servers number the calls, or give all of them index 0; name them by an id once, on each piece, or with a fresh
id on each; repeat the name or bring it late. The rules, in order:

- by index; the same index with a new id is a new call if the piece bears a name or the call so far is whole,
  else a server that mints an id per piece goes on with its call;
- an index not seen before with the id of a known call and no name goes on with that call (a shifting index);
- without an index by id; without both, a new name starts a call, and anything else goes on with the last one;
- a name that comes again goes on with its call, unless that call's arguments are whole and more follow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from maestro_daemon.errors import UpstreamBroken
from maestro_daemon.protocol.custom_tools import wrap_input
from maestro_daemon.protocol.json import dumps
from maestro_daemon.protocol.json_extent import JSONExtent
from maestro_daemon.protocol.surrogates import PairJoiner

MOST_CALLS: Final = 4096
"""Calls in one answer; beyond is a runaway."""

_INPUT_END: Final = -len('"}')


class ChatCall:
    """What is known of one call: its number in the answer, and the upstream's id and name, "" until said."""

    __slots__ = ("_extent", "_in_input", "_pairs", "id", "name", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.id = ""
        self.name = ""
        self._pairs = PairJoiner()
        self._extent = JSONExtent()
        self._in_input = False

    @property
    def whole(self) -> bool:
        """The arguments so far are a closed JSON object."""
        return self._extent.complete

    def arguments(self, piece: str, *, raw: bool = False) -> str:
        """The next piece of the arguments as it can be passed on.

        `raw` marks the input of a custom tool, from a server that knows them: it is wrapped as a function's
        arguments, which `custom_tools` unwraps for the client.
        """
        return self._noted(self._pairs.feed(piece), raw)

    def close(self) -> str:
        """What is left of the arguments when the stream is over."""
        rest = self._noted(self._pairs.close(), self._in_input)
        return rest + '"}' if self._in_input else rest

    def _noted(self, text: str, raw: bool) -> str:
        if raw and text:
            text = wrap_input(text)[:_INPUT_END] if not self._in_input else dumps(text)[1:-1].decode()
            self._in_input = True
        self._extent.cut(text)
        return text

    def begins_anew(self, name: str, arguments: str) -> bool:
        """Whether a piece with this name cannot belong here, ids aside."""
        if not name or not self.name:
            return False
        return name != self.name or (self.whole and bool(arguments.strip()))


class ChatCalls:
    """The calls of one answer."""

    def __init__(self) -> None:
        self._all: list[ChatCall] = []
        self._by_index: dict[int, ChatCall] = {}
        self._by_id: dict[str, ChatCall] = {}

    def __iter__(self) -> Iterator[ChatCall]:
        return iter(self._all)

    def find(self, index: int | None, id: str, name: str, arguments: str) -> ChatCall:
        """The call that the piece belongs to, a new one if to none. Raises `UpstreamBroken` for too many."""
        call = self._known(index, id, name, arguments)
        if call is None:
            if len(self._all) >= MOST_CALLS:
                raise UpstreamBroken(f"The upstream made more than {MOST_CALLS} tool calls in one answer.")
            call = ChatCall(len(self._all))
            self._all.append(call)
        if index is not None and (index in self._by_index or len(self._by_index) < 2 * MOST_CALLS):
            self._by_index[index] = call
        if id and not call.id:
            call.id = id
            self._by_id[id] = call
        return call

    def _known(self, index: int | None, id: str, name: str, arguments: str) -> ChatCall | None:
        namesake = self._by_id.get(id) if id else None
        if namesake is not None and (namesake.begins_anew(name, arguments) or (name and namesake.whole)):
            namesake = None  # two calls under one id
        call = (self._all[-1] if self._all else None) if index is None else self._by_index.get(index)
        if call is None or (id and id != call.id and namesake is not None):
            return namesake
        if call.begins_anew(name, arguments):
            return None
        if id and id != call.id:
            anew = bool(name) or call.whole if call.id else bool(name) and index is None
            return None if anew else call
        return call
