"""The contract between the house and whatever answers requests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from maestro_daemon.errors import NO_HEADERS
from maestro_daemon.events import ResponseEvent
from maestro_daemon.request import ResponseRequest


@dataclass(frozen=True, slots=True)
class Model:
    """One model that a provider lists.

    `context_window` and `max_output_tokens` are in tokens, None where the upstream does not say. `tools`,
    `vision` and `reasoning_efforts` say what it can do: None (or an empty tuple) means not known, and is
    taken as able. `details` is whatever else the upstream said, for people to read.
    """

    id: str
    name: str = ""
    context_window: int | None = None
    max_output_tokens: int | None = None
    tools: bool | None = None
    vision: bool | None = None
    reasoning_efforts: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer with the upstream's headers (lower-case names); `body` is a Response as JSON bytes."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS)


class Provider(Protocol):
    """A kind of upstream with its credentials. One object serves all requests, concurrently.

    Everything here may raise the errors of `UpstreamError`; the router then goes on to the next target.
    """

    name: str

    async def models(self) -> Sequence[Model]:
        """The models on offer now. Called from the background, cached by the house."""
        ...

    async def complete(self, request: ResponseRequest) -> dict[str, Any] | bytes | Reply:
        """The whole answer: a Response object (responses.create's return shape) as dict or JSON bytes."""
        ...

    def stream(self, request: ResponseRequest) -> AsyncGenerator[ResponseEvent, None]:
        """An async generator of the answer's events, up to and with the terminal one.

        The connection is opened inside, so that a refusal is raised by the first step. The first event
        means "accepted" and may be any preamble event (best: `Accepted`). The house closes the generator.
        """
        ...

    async def aclose(self) -> None:
        """Close connections and end child processes. Called once."""
        ...


@runtime_checkable
class Startable(Protocol):
    """A provider with something to do before the first request; a failure is logged, never fatal."""

    async def start(self) -> None:
        """Begin whatever runs beside the requests (a child process, say)."""
        ...


@runtime_checkable
class Diagnosed(Protocol):
    """A provider that can say why it cannot serve just now."""

    def problem(self) -> str | None:
        """One sentence with the remedy, or None when all is well."""
        ...


@runtime_checkable
class NativeResponses(Protocol):
    """A provider that keeps responses itself, so that `previous_response_id` has a meaning there."""

    def keeps_responses(self, model: str) -> bool:
        """Whether a later request may name a response of this model by its id."""
        ...


@runtime_checkable
class Unmetered(Protocol):
    """A provider that costs nothing per request, so that the model name ``auto`` may stand for it."""

    def unmetered_rank(self) -> int | None:
        """The lowest rank is taken first (0 a local server, 1 an embedded model); None: it may cost money."""
        ...


@runtime_checkable
class Relisted(Protocol):
    """A provider whose list of models is to be read again sooner than the house would by itself."""

    def models_ttl(self) -> float:
        """For how many seconds a list is good."""
        ...


@runtime_checkable
class Identified(Protocol):
    """A provider that can tell which account it speaks for, as what an upstream seals only its account reads.

    Without it the provider is taken for an account of its own, named as the configuration names it.
    """

    def account(self) -> str:
        """The same text for the same account, also after a restart, a new key or a new login; "" if unknown.

        It must be quick. Clients see twelve digits of its hash.
        """
        ...
