"""A summary in the place of a conversation, from an upstream that can do no more than chat.

A client asks for it by a ``compaction_trigger`` as the last input item and expects one ``compaction`` item,
nothing else; from then on it sends that item instead of what it sums up. ``encrypted_content`` is the text of
the summary under a seal that every provider here may open.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from maestro_daemon.protocol.sealed_reasoning import COMPACTION, seal, unseal

TRIGGER: Final = "compaction_trigger"

INSTRUCTION: Final = """\
The conversation above is about to be replaced by a summary, which you write now. Whoever goes on with the \
work will see the summary and nothing else of what stands above. Write down:

- what the user asked for, with every constraint, preference and decision, in the user's own words if need be;
- what was done, with the names of files, commands, functions and values exactly as they are;
- what was found out, errors and failed attempts included;
- what is being done right now, what is left to do, and the next step.

Call no tools, answer no earlier message, and go on with no work: reply with the summary alone."""
"""The user message that takes the trigger's place."""

_HEADING: Final = "Summary of the conversation up to here:\n\n"


def is_trigger(item: Mapping[str, Any]) -> bool:
    """Whether an input item asks for a summary of what stands before it."""
    return item.get("type") == TRIGGER


def sealed_summary(text: str) -> str:
    """The ``encrypted_content`` of a compaction item of ours."""
    return seal(text, provider=COMPACTION)


def own_summary(item: Mapping[str, Any]) -> str:
    """The text of a compaction item of ours, "" for any other's."""
    blob = item.get("encrypted_content")
    sealed = unseal(blob, provider=COMPACTION) if isinstance(blob, str) else None
    return sealed.text if sealed else ""


def as_message(summary: str) -> dict[str, Any]:
    """The user message that says a summary to a model."""
    return {"role": "user", "content": _HEADING + summary}
