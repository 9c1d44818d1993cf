"""The one module that a plugin imports.

Everything here is the contract with third parties, nothing else of the house is. docs/plugins.md describes
every name, and says what a version (`API_VERSION`) promises.
"""

from maestro_daemon.deltas import (
    AnnotationDelta,
    Delta,
    Finish,
    ImageDelta,
    ReasoningDelta,
    RefusalDelta,
    ServedBy,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from maestro_daemon.errors import (
    ConnectionLost,
    CredentialsRefused,
    HostUnknown,
    MaestroError,
    ModelQuotaSpent,
    ProviderBusy,
    ProviderUnavailable,
    RequestInvalid,
    UpstreamBroken,
    UpstreamError,
    UpstreamRefused,
    UpstreamUnreachable,
)
from maestro_daemon.events import Accepted, DeltaBurst, ResponseEvent
from maestro_daemon.protocol.chat_dialect import ChatDialect
from maestro_daemon.protocol.chat_mending import ChatMending
from maestro_daemon.protocol.exact_request import exact
from maestro_daemon.protocol.item_log import new_item_id
from maestro_daemon.protocol.reducer import ResponseReducer
from maestro_daemon.protocol.retelling import FunctionTool, JsonFormat, Retelling, ToolChoice, retell
from maestro_daemon.protocol.told_parts import (
    AudioPart,
    FilePart,
    ImagePart,
    Inline,
    Linked,
    Part,
    TextPart,
    unshown,
    unsupported_part,
)
from maestro_daemon.protocol.told_turns import (
    AssistantTurn,
    Called,
    SystemTurn,
    Thought,
    Turn,
    UserTurn,
    Words,
)
from maestro_daemon.providers.hookspecs import Register, hookimpl
from maestro_daemon.providers.listed_models import listed_models
from maestro_daemon.providers.login import (
    CodeShown,
    LoggedIn,
    Login,
    LoginFailed,
    LoginState,
    LoginStep,
    Waiting,
)
from maestro_daemon.providers.needed_api import API_VERSION
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
    Identified,
    Model,
    NativeResponses,
    Provider,
    Relisted,
    Reply,
    Startable,
    Unmetered,
)
from maestro_daemon.providers.quota import Allowance, Quota, QuotaReport
from maestro_daemon.providers.secret import Secret
from maestro_daemon.providers.state_directory import write_private
from maestro_daemon.request import ResponseRequest, Timeouts
from maestro_daemon.upstream.chat import ChatUpstream
from maestro_daemon.upstream.compatible import CompatibleProvider
from maestro_daemon.upstream.http import HttpUpstream
from maestro_daemon.upstream.responses import CARRIED as CARRIED_HEADERS
from maestro_daemon.upstream.responses import ResponsesUpstream
from maestro_daemon.upstream.translated import DeltaReader, TranslatedUpstream, folded

__all__ = [
    "API_VERSION",
    "CARRIED_HEADERS",
    "Accepted",
    "Allowance",
    "AnnotationDelta",
    "AssistantTurn",
    "Attempt",
    "AudioPart",
    "BaseUrl",
    "Called",
    "ChatDialect",
    "ChatMending",
    "ChatUpstream",
    "CodeShown",
    "CompatibleProvider",
    "ConfigPath",
    "ConnectionLost",
    "CredentialsRefused",
    "Delta",
    "DeltaBurst",
    "DeltaReader",
    "Diagnosed",
    "Duration",
    "FilePart",
    "Finish",
    "FunctionTool",
    "Headers",
    "HostUnknown",
    "HttpOptions",
    "HttpUpstream",
    "Identified",
    "ImageDelta",
    "ImagePart",
    "Inline",
    "JsonFormat",
    "Linked",
    "LoggedIn",
    "Login",
    "LoginFailed",
    "LoginState",
    "LoginStep",
    "MaestroError",
    "Model",
    "ModelQuotaSpent",
    "NativeResponses",
    "Outcome",
    "Part",
    "Provider",
    "ProviderBusy",
    "ProviderUnavailable",
    "Quota",
    "QuotaReport",
    "ReasoningDelta",
    "RefusalDelta",
    "Register",
    "Relisted",
    "Reply",
    "RequestInvalid",
    "ResponseEvent",
    "ResponseReducer",
    "ResponseRequest",
    "ResponsesUpstream",
    "Retelling",
    "Secret",
    "ServedBy",
    "Size",
    "Startable",
    "SystemTurn",
    "Table",
    "TextDelta",
    "TextPart",
    "Thought",
    "Timeout",
    "Timeouts",
    "ToolCallDelta",
    "ToolChoice",
    "TranslatedUpstream",
    "Turn",
    "Unmetered",
    "UpstreamBroken",
    "UpstreamError",
    "UpstreamRefused",
    "UpstreamUnreachable",
    "Usage",
    "UserTurn",
    "Waiting",
    "Words",
    "exact",
    "folded",
    "hookimpl",
    "listed_models",
    "new_item_id",
    "retell",
    "unshown",
    "unsupported_part",
    "write_private",
]
