"""The one module that a plugin imports.

Everything here is the contract with third parties; nothing else of the house is.
"""

from maestro_daemon.deltas import (
    AnnotationDelta,
    Delta,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    ServedBy,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from maestro_daemon.errors import (
    CredentialsRefused,
    MaestroError,
    ProviderUnavailable,
    RequestInvalid,
    UpstreamBroken,
    UpstreamError,
    UpstreamRefused,
    UpstreamUnreachable,
)
from maestro_daemon.events import Accepted, ResponseEvent
from maestro_daemon.providers.hookspecs import Register, hookimpl
from maestro_daemon.providers.notices import Attempt, Outcome
from maestro_daemon.providers.options import (
    BaseUrl,
    ConfigPath,
    Duration,
    Headers,
    HttpOptions,
    Size,
    Table,
    Timeout,
)
from maestro_daemon.providers.provider import (
    Diagnosed,
    Model,
    NativeResponses,
    Provider,
    Reply,
    Startable,
    Unmetered,
)
from maestro_daemon.providers.secret import Secret
from maestro_daemon.request import ResponseRequest

__all__ = [
    "Accepted",
    "AnnotationDelta",
    "Attempt",
    "BaseUrl",
    "ConfigPath",
    "CredentialsRefused",
    "Delta",
    "Diagnosed",
    "Duration",
    "Finish",
    "Headers",
    "HttpOptions",
    "MaestroError",
    "Model",
    "NativeResponses",
    "Outcome",
    "Provider",
    "ProviderUnavailable",
    "ReasoningDelta",
    "RefusalDelta",
    "Register",
    "Reply",
    "RequestInvalid",
    "ResponseEvent",
    "ResponseRequest",
    "Secret",
    "ServedBy",
    "Size",
    "Startable",
    "Table",
    "TextDelta",
    "Timeout",
    "ToolCallDelta",
    "UpstreamBroken",
    "UpstreamError",
    "UpstreamRefused",
    "UpstreamUnreachable",
    "Unmetered",
    "Usage",
    "hookimpl",
]
