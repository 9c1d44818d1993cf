"""Which headers cross the house: the client's towards an upstream, the upstream's back to the client.

Both lists say what may pass; nothing else does, so that no credential, cookie or hop-by-hop header can.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from multidict import CIMultiDictProxy

_CARRIED = frozenset(
    {
        # which conversation, turn and call this is
        "session-id",
        "session_id",
        "thread-id",
        "x-client-request-id",
        "x-session-id",
        "x-session-affinity",
        "x-claude-code-session-id",
        # who began the turn, a person or an agent (GitHub Copilot bills by it)
        "x-initiator",
        # which program asks, in Codex's words
        "originator",
        "version",
        # what the client opts into
        "openai-beta",
        # tracing (W3C)
        "traceparent",
        "tracestate",
    }
)
_CARRIED_PREFIXES = ("x-codex-", "x-openai-", "x-interaction-")

_NEVER_CARRIED = frozenset({"x-openai-api-key", "x-openai-authorization"})

_PASSED_BACK = frozenset(
    {
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        "openai-processing-ms",
        "openai-version",
        "openai-model",
        "x-reasoning-included",
    }
)
_PASSED_BACK_PREFIXES = ("x-ratelimit-", "x-codex-", "x-quota-snapshot-")
_PASSED_BACK_SUFFIXES = ("-used-percent", "-window-minutes", "-reset-at")  # Codex's named limits: x-<limit>-…

_LONGEST_VALUE = 8192
_LONGEST_NAME = 128
_LONGEST_DEADLINE = 366 * 24 * 3600.0


def carried(headers: CIMultiDictProxy[str]) -> Mapping[str, str]:
    """Those of the client's headers that may mean something to an upstream, by lower-case name.

    A header that came more than once is joined with ``", "``. Which of them reach an upstream is for its
    provider to decide: ``x-codex-*``, ``x-openai-*``, ``originator`` and ``version`` mean something to
    OpenAI only, ``x-initiator`` and ``x-interaction-*`` to GitHub Copilot. The client's ``user-agent``,
    ``openai-organization`` and ``openai-project`` stay here: they go with its own credentials.
    """
    found: dict[str, str] = {}
    for name, value in headers.items():
        lower = _as_carried(name) if len(name) <= _LONGEST_NAME else None
        if lower is None:
            continue
        found[lower] = f"{found[lower]}, {value}" if lower in found else value
    return found


def deadline(headers: CIMultiDictProxy[str]) -> float | None:
    """How many seconds the client waits for its answer (``x-stainless-timeout``); None if it does not say.

    Clients cut their setting to whole seconds: a 0 says nothing.
    """
    said = headers.get("x-stainless-timeout")
    if said is None:
        return None
    try:
        seconds = float(said)
    except ValueError:
        return None
    return seconds if 0 < seconds < _LONGEST_DEADLINE else None


def passed_back(headers: Mapping[str, str], *, asked_model: str | None) -> dict[str, str]:
    """Those of an upstream's answer headers that its client is to see, by lower-case name.

    ``openai-model`` passes only when it is `asked_model`: Codex takes a differing one for a sign that the
    account was flagged. ``x-models-etag`` never does: it is that of the upstream's list of models, and Codex,
    which holds it against that of ours, would read ours anew with each answer. Values that could not stand in
    a header line are dropped.
    """
    found: dict[str, str] = {}
    for name, value in headers.items():
        lower = _as_passed_back(name) if len(name) <= _LONGEST_NAME else None
        if lower is None or (lower == "openai-model" and value != asked_model):
            continue
        if len(value) <= _LONGEST_VALUE and value.isprintable():
            found[lower] = value
    return found


# The same few names come with every request.
@lru_cache(maxsize=1024)
def _as_carried(name: str) -> str | None:
    """The name in lower case if it is one that `carried` gives, else None."""
    lower = name.lower()
    if lower in _NEVER_CARRIED or not (lower in _CARRIED or lower.startswith(_CARRIED_PREFIXES)):
        return None
    return lower


@lru_cache(maxsize=1024)
def _as_passed_back(name: str) -> str | None:
    """As `_as_carried`, for `passed_back`."""
    lower = name.lower()
    if (
        lower in _PASSED_BACK
        or lower.startswith(_PASSED_BACK_PREFIXES)
        or (lower.startswith("x-") and lower.endswith(_PASSED_BACK_SUFFIXES))
    ):
        return lower
    return None
