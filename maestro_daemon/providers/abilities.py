"""The quick questions that a provider may answer; one that cannot be trusted with them hurts nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import structlog

from maestro_daemon.providers.provider import Provider

_log: Final = structlog.get_logger(__name__)


def problem_of(name: str, provider: Provider) -> str | None:
    """Why the provider cannot serve now, None when all is well or it does not say."""
    said = _asked(name, provider, "problem")
    if isinstance(said, _Failed):
        return f"Provider {name!r} failed to say how it is: {said.error}; the log has details."
    return said if isinstance(said, str) and said else None


def unmetered_rank_of(name: str, provider: Provider) -> int | None:
    """The rank of a provider that costs nothing; None for one that may, or that does not say."""
    said = _asked(name, provider, "unmetered_rank")
    return said if type(said) is int else None


def keeps_responses_of(name: str, provider: Provider, model: str) -> bool:
    """Whether the provider keeps responses of that model."""
    # Not isinstance(…, NativeResponses): a runtime protocol's check costs as much as a whole plan.
    return _asked(name, provider, "keeps_responses", model) is True


def models_ttl_of(name: str, provider: Provider, most: float) -> float:
    """For how many seconds the provider's list of models is good: from one second up to `most`."""
    if not callable(getattr(provider, "models_ttl", None)):  # a plugin's own field may have that name
        return most
    said = _asked(name, provider, "models_ttl")
    return min(most, max(1.0, said)) if type(said) in (int, float) else most


class _Failed:
    """The provider raised an error of this class."""

    def __init__(self, error: str) -> None:
        self.error = error


def _asked(name: str, provider: Provider, method: str, *arguments: Any) -> Any:
    ask: Callable[..., Any] | None = getattr(provider, method, None)
    if ask is None:
        return None
    try:
        return ask(*arguments)
    except BaseException as error:  # noqa: BLE001  (outsiders' code; logged)
        _log.exception("a provider could not answer", provider=name, method=method)
        return _Failed(type(error).__name__)
