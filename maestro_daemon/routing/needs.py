"""What a request needs of a model, and which models are known to lack it.

Only what a catalogue says can be lacked; what is not known is taken as there. A model is never given up for
a guess: the tokens of an input are counted by what no tokenizer can spare.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

from maestro_daemon.errors import RequestInvalid
from maestro_daemon.providers.provider import Model
from maestro_daemon.request import ResponseRequest
from maestro_daemon.routing.target import Target

_IMAGES: Final = frozenset({"input_image", "computer_screenshot", "image_url"})
_IMAGE_WORDS: Final = tuple(each.encode() for each in sorted(_IMAGES))
_CALLED_BY_MODELS: Final = frozenset(
    {
        "function",
        "custom",
        "namespace",
        "tool_search",
        "local_shell",
        "shell",
        "apply_patch",
        "computer",
        "computer_use_preview",
    }
)
"""Tools whose calls come back to the client: an upstream's own are left out where it has none."""

_SAID_IN: Final = ("content", "output", "arguments", "input", "text", "refusal")
_DEEPEST: Final = 8
_SPACES_BEFORE_NO_WORD: Final = (" \n", " \r", " \t")


class Lack(NamedTuple):
    """Why a target cannot serve a request: the words for its client, and the code and param of the 400."""

    target: Target
    why: str
    code: str
    param: str


class Needs:
    """What one request needs, each found out when it is first asked for."""

    def __init__(self, request: ResponseRequest) -> None:
        self._request = request

    def lack(self, target: Target, model: Model) -> Lack | None:
        """What `model`, listed for `target`, lacks; None if nothing is known to be missing."""
        if model.tools is False and self.tools:
            return Lack(target, "cannot call tools", "unsupported_parameter", "tools")
        if model.vision is False and self.images:
            return Lack(target, "cannot see images", "unsupported_value", "input")
        window = model.context_window
        if window is not None and self._spaces > window and self.tokens > window:
            return Lack(
                target,
                f"has a context of {window} tokens, and the input needs {self.tokens} at least",
                "context_length_exceeded",
                "input",
            )
        return None

    @cached_property
    def tools(self) -> bool:
        """Whether the model may have to call tools of the client's."""
        body = self._request.body
        if body.get("tool_choice") == "none":
            return False
        if any(map(_is_called, _listed(body.get("tools")))):
            return True
        return "additional_tools" in self._request.item_types() and any(
            _is_called(tool)
            for item in _listed(body.get("input"))
            if item.get("type") == "additional_tools"
            for tool in _listed(item.get("tools"))
        )

    @cached_property
    def images(self) -> bool:
        """Whether an image stands anywhere in the input, outputs of tools included."""
        text = self._request.text
        items = self._request.body.get("input")
        if not isinstance(items, list) or (
            text is not None and not any(word in text for word in _IMAGE_WORDS)
        ):
            return False
        return _holds_image(items, _DEEPEST)

    @cached_property
    def tokens(self) -> int:
        """So many tokens has the input at least; 0 where the upstream may shorten it."""
        return sum(map(_tokens_at_least, self._texts))

    @cached_property
    def _spaces(self) -> int:
        """Never less than `tokens`, and found sooner."""
        return sum(text.count(" ") for text in self._texts)

    @cached_property
    def _texts(self) -> tuple[str, ...]:
        body = self._request.body
        if body.get("truncation") == "auto" or body.get("context_management") is not None:
            return ()
        return (*_texts(body.get("instructions"), _DEEPEST), *_texts(body.get("input"), _DEEPEST))


def unservable(asked: str, lacks: Sequence[Lack]) -> RequestInvalid:
    """The 400 for a request that no target can serve: for each one why. `asked` is the model's name."""
    # A shorter input is what a client can bring about by itself.
    told = next((lack for lack in lacks if lack.code == "context_length_exceeded"), lacks[0])
    reasons = "; ".join(f"{lack.target.name} {lack.why}" for lack in lacks)
    if len(lacks) == 1:
        message = f"{reasons}."
    else:
        message = f"No target of {asked!r} can serve this request: {reasons}."
    return RequestInvalid(message, code=told.code, param=told.param)


def _listed(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))


def _is_called(tool: dict[str, Any]) -> bool:
    kind = tool.get("type")
    return kind.__class__ is str and kind in _CALLED_BY_MODELS


def _holds_image(value: Any, depth: int) -> bool:
    """Schemas and arguments may speak of images, too: only parts of messages and of outputs are looked at."""
    if isinstance(value, list):
        return any(_holds_image(each, depth - 1) for each in value) if depth else False
    if not isinstance(value, dict):
        return False
    kind = value.get("type")
    if kind.__class__ is str and kind in _IMAGES:
        return True
    return bool(depth) and (
        _holds_image(value.get("content"), depth - 1) or _holds_image(value.get("output"), depth - 1)
    )


def _texts(value: Any, depth: int) -> Iterator[str]:
    """What is said in the items: by people, models and tools, but nothing that is sealed or no text."""
    if isinstance(value, str):
        yield value
    elif depth and isinstance(value, list):
        for each in value:
            yield from _texts(each, depth - 1)
    elif depth and isinstance(value, dict) and value.get("type") != "reasoning":
        for name in _SAID_IN:
            inner = value.get(name)
            if inner is not None:
                yield from _texts(inner, depth - 1)


def _tokens_at_least(text: str) -> int:
    """The spaces that words stand behind, without those beside other white space.

    Each begins a token in the tokenizers in use. To count all words exactly would take much longer.
    """
    return max(0, text.count(" ") - 2 * text.count("  ") - sum(map(text.count, _SPACES_BEFORE_NO_WORD)))
