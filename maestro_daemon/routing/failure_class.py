"""What kind of failure ended an attempt: told once, from the error alone; everything after follows from it.

=============  =======================================  ==============================================
class          what happened                            what follows
=============  =======================================  ==============================================
unreachable    no connection, or silence                counts; next target. A connection that broke
                                                        before any byte came is tried here once more.
refused        a status of the upstream's own trouble   counts; a 5xx is tried here once more
limited        429                                      counts; next target
broken         nonsense, or a stream cut                counts; next target
quota          out of credit                            a long cooldown of the whole provider, or of
                                                        the model, where that alone has none
credentials    401, 403                                 401: a cooldown of the whole provider
lack           the target lacks something               next target; its health is as it was
client         the client's fault                       the answer; the target's health is as it was
=============  =======================================  ==============================================

Whatever says when to come back cools down until then.
"""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

from maestro_daemon.errors import (
    ConnectionLost,
    CredentialsRefused,
    HostUnknown,
    MaestroError,
    ModelQuotaSpent,
    ModelUnknown,
    ProviderBusy,
    ProviderUnavailable,
    RequestInvalid,
    UpstreamError,
    UpstreamRefused,
    UpstreamUnreachable,
)

LACKS_OF_THE_TARGET: Final = frozenset(
    {
        "context_length_exceeded",
        "model_max_prompt_tokens_exceeded",
        "model_not_found",
        "model_not_supported",
        "invalid_encrypted_content",
    }
)
"""Codes of a refusal that another target may well answer; so may all that begin with ``unsupported_``."""

QUOTA_CODES: Final = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "quota_exceeded",
        "payment_required",
        "usage_not_included",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
    }
)
"""Codes of an account without credit, whatever the status."""

_OUT_OF_CREDIT: Final = re.compile(
    r"credit balance|insufficient (account )?(balance|credits?|funds|quota)|out of credits?\b"
    r"|(exceeded|reached|hit) your (current|monthly) (quota|spend(ing)? limit|usage limit)"
    r"|reached your (specified )?(workspace )?API usage limits"
    r"|check your plan and billing|billing (hard )?limit|payment (is )?required",
    re.IGNORECASE,
)
"""How servers without a code for it say that an account is empty."""

_UNREADABLE: Final = re.compile(
    r"encrypted[ _]content.{0,400}(could not|cannot|can't|did not match|failed)|could not be decrypted",
    re.IGNORECASE | re.DOTALL,
)
"""How upstreams say, under any code, that ciphertext is not their own, or bound to another item's id."""

_MAY_BE_QUOTA: Final = (400, 403, 429)
_LACKING: Final = (404, 405, 410, 413, 415)
_AT_FAULT: Final = (400, 422)


class FailureClass(Enum):
    """The classes; `value` is the word that logs and ``status`` show."""

    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    LIMITED = "limited"
    BROKEN = "broken"
    QUOTA = "quota"
    CREDENTIALS = "credentials"
    LACK = "lack"
    CLIENT = "client"

    @property
    def spares_health(self) -> bool:
        """True where the target worked as it should."""
        return self is FailureClass.LACK or self is FailureClass.CLIENT


class Failure(NamedTuple):
    """One classified failure.

    `wide`: every model of the provider is concerned. `passing`: worth one more try at the same target.
    `retry_after` is in seconds, None where the upstream did not say.
    """

    kind: FailureClass
    error: MaestroError
    wide: bool = False
    passing: bool = False
    retry_after: float | None = None

    @property
    def spares_health(self) -> bool:
        """True where nothing is to be held against the target."""
        return self.kind.spares_health or isinstance(self.error, ProviderBusy)


def classify(error: MaestroError, *, wall_clock: Callable[[], float] = time.time) -> Failure:
    """The class of `error`, and what it says beside. `wall_clock` (unix seconds) reads Retry-After dates."""
    wait = _wait(error, wall_clock)
    match error:
        case UpstreamRefused():
            kind = _of_refusal(error)
            if kind is FailureClass.QUOTA:
                wide = not isinstance(error, ModelQuotaSpent)
            else:
                wide = kind is FailureClass.CREDENTIALS and error.status != 403
            return Failure(kind, error, wide, kind is FailureClass.REFUSED and _passes(error.status), wait)
        case HostUnknown():
            return Failure(FailureClass.UNREACHABLE, error, wide=True, retry_after=wait)
        case ConnectionLost():
            return Failure(FailureClass.UNREACHABLE, error, passing=True, retry_after=wait)
        case UpstreamUnreachable() | ProviderUnavailable():
            return Failure(FailureClass.UNREACHABLE, error, retry_after=wait)
        case RequestInvalid() | ModelUnknown():
            return Failure(FailureClass.LACK, error)
    return Failure(FailureClass.BROKEN, error, retry_after=wait)


def refuses_ciphertext(error: MaestroError) -> bool:
    """Whether an upstream says that it cannot read the ciphertext of the request's history."""
    if error.code == "invalid_encrypted_content":
        return True
    return isinstance(error, UpstreamError) and _UNREADABLE.search(error.message) is not None


def _of_refusal(error: UpstreamRefused) -> FailureClass:
    code, status = error.code or "", error.status
    if status == 402 or code in QUOTA_CODES or isinstance(error, ModelQuotaSpent):
        return FailureClass.QUOTA
    if status in _MAY_BE_QUOTA and _OUT_OF_CREDIT.search(error.message):
        return FailureClass.QUOTA
    if status < 500 and status != 429 and code in LACKS_OF_THE_TARGET:
        return FailureClass.LACK
    if status in _AT_FAULT and refuses_ciphertext(error):
        return FailureClass.LACK
    if status in _AT_FAULT:
        return FailureClass.LACK if code.startswith("unsupported_") else FailureClass.CLIENT
    if isinstance(error, CredentialsRefused) or status in (401, 403):
        return FailureClass.CREDENTIALS
    if status == 429:
        return FailureClass.LIMITED
    return FailureClass.LACK if status in _LACKING else FailureClass.REFUSED


def _passes(status: int) -> bool:
    return status >= 500 and status != 501


def _wait(error: MaestroError, wall_clock: Callable[[], float]) -> float | None:
    if not isinstance(error, UpstreamError):
        return None
    if error.retry_after is not None or "retry-after" not in error.headers:
        return error.retry_after
    try:
        said = email.utils.parsedate_to_datetime(error.headers["retry-after"])
        return max(0.0, said.timestamp() - wall_clock())
    except (ValueError, OverflowError, OSError):
        return None
