"""What a chat chunk tells besides text and calls: tokens used, log probabilities, annotations, images."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from maestro_daemon.deltas import ImageDelta, Usage
from maestro_daemon.protocol.surrogates import whole

_NOTHING: Final[Mapping[str, Any]] = {}
_IMAGE: Final = re.compile(r"data:image/(?P<format>[a-z0-9.+-]{1,16});base64,(?P<base64>[A-Za-z0-9+/=]+)")
_MOST_TOKENS: Final = 2**53 - 1


def table(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else _NOTHING


def _count(*values: Any) -> int:
    """The first that is a positive count of tokens, else 0."""
    for value in values:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= _MOST_TOKENS:
            return int(value)
    return 0


def _places(chunk: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield chunk
    choices = chunk.get("choices")
    if isinstance(choices, list):
        for choice in choices:
            yield table(choice)
    yield table(chunk.get("x_groq"))


def usage_of(chunk: Mapping[str, Any]) -> Usage | None:
    """The tokens that a chunk tells of, wherever the server puts them. All zeros are provisional: None."""
    timings = table(chunk.get("timings"))
    for place in _places(chunk):
        usage = place.get("usage")
        if isinstance(usage, dict) and (found := _usage(usage, timings)) is not None:
            return found
    cached = _count(timings.get("cache_n"))
    read, written = _count(timings.get("prompt_n")) + cached, _count(timings.get("predicted_n"))
    return Usage(read, written, cached_tokens=cached) if read and written else None


def _usage(usage: Mapping[str, Any], timings: Mapping[str, Any]) -> Usage | None:
    read = _count(usage.get("prompt_tokens"), usage.get("input_tokens"))
    written = _count(usage.get("completion_tokens"), usage.get("output_tokens"))
    total = _count(usage.get("total_tokens"))
    if not written:
        written = max(0, total - read) if read else 0
    elif not read:
        read = max(0, total - written)
    if not read and not written:
        return None
    prompt = table(usage.get("prompt_tokens_details") or usage.get("input_tokens_details"))
    completion = table(usage.get("completion_tokens_details") or usage.get("output_tokens_details"))
    return Usage(
        read,
        written,
        cached_tokens=_count(
            prompt.get("cached_tokens"),
            usage.get("prompt_cache_hit_tokens"),
            usage.get("cached_tokens"),
            timings.get("cache_n"),
        ),
        cache_write_tokens=_count(
            prompt.get("cache_write_tokens"),
            prompt.get("cache_creation_tokens"),
            usage.get("cache_write_tokens"),
            usage.get("cache_creation_input_tokens"),
        ),
        reasoning_tokens=_count(completion.get("reasoning_tokens"), usage.get("reasoning_tokens")),
    )


def logprobs_of(choice: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``logprobs.content[]`` of a choice in the Responses shape; entries without a token are left out."""
    content = table(choice.get("logprobs")).get("content")
    if not isinstance(content, list):
        return []
    found = []
    for entry in content:
        if isinstance(entry, dict) and isinstance(entry.get("token"), str):
            top = entry.get("top_logprobs")
            others = top if isinstance(top, list) else []
            alike = [_logprob(each) for each in others if isinstance(table(each).get("token"), str)]
            found.append({**_logprob(entry), "top_logprobs": alike})
    return found


def _logprob(entry: Mapping[str, Any]) -> dict[str, Any]:
    logprob = entry.get("logprob")
    sent = entry.get("bytes")
    return {
        "token": whole(entry["token"]),
        # What OpenAI writes for a token so unlikely that JSON cannot say it.
        "logprob": logprob
        if isinstance(logprob, (int, float)) and not isinstance(logprob, bool)
        else -9999.0,
        "bytes": sent if isinstance(sent, list) and all(type(each) is int for each in sent) else [],
    }


def annotations_of(delta: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The url citations of a delta in the Responses shape; other kinds have none, and are left out."""
    sent = delta.get("annotations")
    if not isinstance(sent, list):
        return []
    found = []
    for each in sent:
        annotation = table(each)
        if annotation.get("type") == "url_citation":
            citation = annotation.get("url_citation", annotation)
            if isinstance(citation, dict) and isinstance(citation.get("url"), str):
                found.append(_citation(citation))
    return found


def _citation(citation: Mapping[str, Any]) -> dict[str, Any]:
    title = citation.get("title")
    return {
        "type": "url_citation",
        "url": whole(citation["url"]),
        "title": whole(title) if isinstance(title, str) else "",
        "start_index": _count(citation.get("start_index")),
        "end_index": _count(citation.get("end_index")),
    }


def images_of(delta: Mapping[str, Any]) -> list[ImageDelta]:
    """The images of a delta (OpenRouter's ``images``); one that is only linked is left out."""
    sent = delta.get("images")
    if not isinstance(sent, list):
        return []
    urls = [table(table(each).get("image_url")).get("url") for each in sent]
    found = [_IMAGE.fullmatch(url) for url in urls if isinstance(url, str)]
    return [ImageDelta(each["base64"], each["format"]) for each in found if each is not None]
