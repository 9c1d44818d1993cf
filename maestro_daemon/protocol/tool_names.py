"""One request's tools under names that every chat upstream accepts, and the way back.

Chat completions know neither namespaces nor kinds of tools: a call comes back as a bare name. Each tool gets
one flat name of at most 64 characters of ``[A-Za-z0-9_-]``, and the flat name remembers what it stands for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["function", "custom", "tool_search", "local_shell", "shell", "apply_patch"]

LONGEST_NAME: Final = 64
_SEPARATOR: Final = "__"
_HASH_DIGITS: Final = 8
_ILLEGAL: Final = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True)
class ToolName:
    """A tool as the client knows it: what its call becomes on the way back, its name, its namespace."""

    kind: Kind
    name: str
    namespace: str | None = None


class ToolNames:
    """One request's tools: legal unique flat names for chat upstreams, and back.

    The names depend on nothing but the tools and their order, so that a conversation's next request says
    the same ones and the upstream's prompt cache holds.
    """

    __slots__ = ("_allowed", "_flat", "_placed", "_tools", "_unplaced")

    def __init__(self) -> None:
        self._flat: dict[ToolName, str] = {}
        self._tools: dict[str, ToolName] = {}
        self._placed: dict[tuple[str | None, str], str] = {}
        self._unplaced: dict[str, str | None] = {}
        self._allowed: frozenset[str] | None = None

    def flat(self, tool: ToolName) -> str:
        """The flat name of `tool`, which is registered with it. Namespace and name are joined by ``__``.

        What another tool has already, is too long or would be empty gets a hash of the tool as its end.
        """
        known = self._flat.get(tool)
        if known is not None:
            return known
        said = f"{tool.namespace}{_SEPARATOR}{tool.name}" if tool.namespace else tool.name
        legal = _ILLEGAL.sub("_", said) or "tool"
        flat = legal
        attempt = 0
        while len(flat) > LONGEST_NAME or flat in self._tools:
            flat = _hashed(legal, tool, attempt)
            attempt += 1
        self._flat[tool] = flat
        self._tools[flat] = tool
        self._placed.setdefault((tool.namespace, tool.name), flat)
        self._unplaced[tool.name] = None if tool.name in self._unplaced else flat
        return flat

    def find(self, tool: ToolName) -> str | None:
        """The flat name of the registered tool that a client means by `tool`, None if there is none.

        Clients name a tool by another kind after they changed its declaration, without its namespace where
        that is optional, or by the flat name itself: the nearest tool that leaves no doubt is meant.
        """
        known = self._flat.get(tool)
        if known is not None:
            return known
        placed = self._placed.get((tool.namespace, tool.name))
        if placed is not None or tool.namespace is not None:
            return placed
        only = self._unplaced.get(tool.name)
        if only is not None:
            return only
        return tool.name if tool.name in self._tools else None

    def called(self, tool: ToolName) -> str:
        """The flat name for a call that the conversation holds: of the tool that is meant, else a new one."""
        return self.find(tool) or self.flat(tool)

    def restore(self, flat: str) -> ToolName:
        """The tool behind a flat name, or what a model made of it; any other is a function so named."""
        return self._tools.get(self._meant(flat)) or ToolName("function", flat)

    def allow_only(self, flat_names: Collection[str]) -> None:
        """Limit the answer's calls to these tools, as the request's ``allowed_tools`` demands."""
        self._allowed = frozenset(flat_names)

    def allows(self, flat: str) -> bool:
        """False for a call that the request has forbidden by ``allowed_tools``."""
        return self._allowed is None or self._meant(flat) in self._allowed

    def _meant(self, flat: str) -> str:
        """The flat name that a model means which left the namespace away, or put a dot behind it."""
        if flat in self._tools:
            return flat
        joined = flat.replace(".", _SEPARATOR)
        return joined if joined in self._tools else self._unplaced.get(flat) or flat


def _hashed(legal: str, tool: ToolName, attempt: int) -> str:
    whole = "\0".join((tool.kind, tool.namespace or "", tool.name, str(attempt)))
    digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    return f"{legal[: LONGEST_NAME - _HASH_DIGITS - 1]}_{digest}"
