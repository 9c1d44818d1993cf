"""Which target served a conversation, so that its next turn finds the prompt cache there.

Remembered by names, never by objects: what is here outlives a new configuration, and a name that no route
holds any more is as good as none.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

_CONVERSATIONS: Final = 10_000


class Affinity:
    """Targets' names by conversation: bounded, the least recently served conversation forgotten first.

    `clock` gives seconds.
    """

    def __init__(
        self, *, conversations: int = _CONVERSATIONS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._served: OrderedDict[Hashable, tuple[str, float]] = OrderedDict()
        self._most = conversations
        self._clock = clock

    def __len__(self) -> int:
        """How many conversations are remembered."""
        return len(self._served)

    def target(self, conversation: Hashable) -> str | None:
        """The name of the target that the conversation stays with; None if it is new, or too old."""
        found = self._served.get(conversation)
        if found is None:
            return None
        if found[1] <= self._clock():
            del self._served[conversation]
            return None
        return found[0]

    def note(self, conversation: Hashable, target: str, seconds: float) -> None:
        """The conversation stays with the target of this name for `seconds` from now; 0 forgets it."""
        if seconds <= 0:
            self._served.pop(conversation, None)
            return
        self._served[conversation] = (target, self._clock() + seconds)
        self._served.move_to_end(conversation)
        if len(self._served) > self._most:
            self._served.popitem(last=False)
