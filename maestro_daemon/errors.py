"""Everything that can go wrong, as one tree. The class is the only classification.

::

    MaestroError                 .status  .code  .param
    ├─ RequestInvalid            400  the client's fault, with param; never retried
    ├─ ModelUnknown              404
    ├─ CatalogueUnread           503  a name cannot be judged before the catalogue was read once
    ├─ NotAuthenticated          401
    ├─ AccessForbidden           403
    ├─ ConfigInvalid                  start-up only; exit status 78
    ├─ ProviderUnavailable       503  a provider misses a part of itself (a wheel, a model file)
    ├─ UpstreamError             502  one attempt failed
    │  ├─ UpstreamUnreachable         no connection, or silence past its timeout
    │  │  ├─ HostUnknown              its name could not be resolved
    │  │  └─ ConnectionLost           it hung up before any byte of an answer came
    │  ├─ UpstreamRefused             it answered with a status
    │  │  ├─ CredentialsRefused       401/403
    │  │  └─ ProviderBusy         429  it was not asked: too many requests wait for it here already
    │  └─ UpstreamBroken              it spoke nonsense, or stopped mid-stream
    │     └─ ProviderFailed           the provider's own code raised something that is none of these
    ├─ DeadlinePassed            504  the answer took longer than it may, or than its client waits
    └─ AttemptsExhausted              every target failed
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class MaestroError(Exception):
    """Any failure that the house itself names.

    `status` is the HTTP status a client gets for it, `code`, `param` and `type` are the fields of OpenAI's
    error envelope, `headers` what is to stand beside it (lower-case names, e.g. ``retry-after``).
    """

    default_status: ClassVar[int] = 500
    default_code: ClassVar[str | None] = None
    default_type: ClassVar[str] = "server_error"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        type: str | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = self.default_status if status is None else status
        self.code = self.default_code if code is None else code
        self.param = param
        self.type = self.default_type if type is None else type
        self.headers = headers

    def envelope(self) -> dict[str, Any]:
        """The body of OpenAI's error answer: ``{"error": {message, type, param, code}}``, all present."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class RequestInvalid(MaestroError):
    """The client's request cannot be served by any target; saying it again will not help."""

    default_status = 400
    default_code = "invalid_value"
    default_type = "invalid_request_error"


class ModelUnknown(MaestroError):
    """No route, provider or catalogue knows the name that was asked for."""

    default_status = 404
    default_code = "model_not_found"
    default_type = "invalid_request_error"


class CatalogueUnread(MaestroError):
    """A bare model id cannot be judged yet: a catalogue that may list it has never been read."""

    default_status = 503
    default_code = "catalogue_unread"


class NotAuthenticated(MaestroError):
    """The client showed no key, or one that is not known here."""

    default_status = 401
    default_code = "invalid_api_key"
    default_type = "authentication_error"


class AccessForbidden(MaestroError):
    """The daemon does not serve this kind of caller; the message names the setting that would allow it."""

    default_status = 403
    default_code = "access_forbidden"
    default_type = "invalid_request_error"


class ConfigInvalid(MaestroError):
    """The configuration cannot be used; the process ends with status 78 (EX_CONFIG)."""

    default_code = "config_invalid"


class ProviderUnavailable(MaestroError):
    """A provider lacks a part that only the operator can bring; the message says how."""

    default_status = 503
    default_code = "provider_unavailable"


class UpstreamError(MaestroError):
    """One attempt at one target failed. `retry_after` is what the upstream asked for, in seconds."""

    default_status = 502
    default_code: ClassVar[str | None] = "upstream_error"

    def __init__(self, message: str, *, retry_after: float | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.retry_after = retry_after


class UpstreamUnreachable(UpstreamError):
    """No connection could be made, or the upstream was silent for longer than its timeout."""

    default_code = "upstream_unreachable"


class HostUnknown(UpstreamUnreachable):
    """The upstream's host name could not be resolved: no model there can be reached."""


class ConnectionLost(UpstreamUnreachable):
    """The connection ended before any byte of an answer came; asking once more may well help."""


class UpstreamRefused(UpstreamError):
    """The upstream answered with an error: `status` is its own, as are message, type, param and code.

    `body` is the answer as it came, for whoever knows more of its fields; b"" where there is none.
    """

    default_code: ClassVar[str | None] = None
    body: bytes = b""


class CredentialsRefused(UpstreamRefused):
    """The upstream answered 401 or 403: the provider's credentials are wrong, not the client's."""


class ModelQuotaSpent(UpstreamRefused):
    """The account has no credit left for this model; for others it may have."""

    default_status = 429
    default_code = "insufficient_quota"


class ProviderBusy(UpstreamRefused):
    """The upstream was not asked: as many requests as may wait for it here do."""


class UpstreamBroken(UpstreamError):
    """The upstream spoke nonsense, sent an error inside a stream, or stopped before its end."""

    default_code = "upstream_broken"


class ProviderFailed(UpstreamBroken):
    """The provider's code raised an error of another sort, whose class is named `raised`: it has a fault."""

    def __init__(self, message: str, raised: str) -> None:
        super().__init__(message)
        self.raised = raised


class DeadlinePassed(MaestroError):
    """The answer took longer than it may, or than the client says that it waits; nobody else is asked."""

    default_status = 504
    default_code = "deadline_exceeded"


class AttemptsExhausted(MaestroError):
    """Every target of the plan failed; status, code and message are chosen from the failures."""

    default_status = 502
    default_code = "upstream_error"
