"""The contract kit: subclass `ProviderContract`, and everything that is expected of a provider is checked.

    from maestro_daemon.testing import ChatWire, ProviderContract

    class TestZenith(ProviderContract):
        plugin = maestro_zenith
        wire = ChatWire()

docs/plugins.md describes it. It needs the extra ``[testing]``; the daemon itself imports nothing of it.
"""

from maestro_daemon.testing.bench import NAME, SECRET
from maestro_daemon.testing.breach import Breach, Inapplicable
from maestro_daemon.testing.chat_wire import ChatWire
from maestro_daemon.testing.contract import ProviderContract
from maestro_daemon.testing.fake_upstream import (
    CUT,
    STALL,
    TURN,
    Answer,
    FakeUpstream,
    Fitting,
    Raw,
    Received,
    Reply,
    Stream,
    fake_upstream,
    refusal,
)
from maestro_daemon.testing.oracle import check_stream
from maestro_daemon.testing.response_oracle import check_response
from maestro_daemon.testing.responses_wire import ResponsesWire
from maestro_daemon.testing.scenarios import (
    ODD_EVENT,
    ODD_FIELD,
    Answers,
    Babbles,
    Breaks,
    Ends,
    Fails,
    Listing,
    Lists,
    Refuses,
    Scenario,
    Stalls,
    ToolCall,
)
from maestro_daemon.testing.stage import Asked, Fields, HttpStage, Stage, http_stage
from maestro_daemon.testing.wire import Wire

__all__ = [
    "CUT",
    "NAME",
    "ODD_EVENT",
    "ODD_FIELD",
    "SECRET",
    "STALL",
    "TURN",
    "Answer",
    "Answers",
    "Asked",
    "Babbles",
    "Breach",
    "Breaks",
    "ChatWire",
    "Ends",
    "Fails",
    "FakeUpstream",
    "Fields",
    "Fitting",
    "HttpStage",
    "Inapplicable",
    "Listing",
    "Lists",
    "ProviderContract",
    "Raw",
    "Received",
    "Refuses",
    "Reply",
    "ResponsesWire",
    "Scenario",
    "Stage",
    "Stalls",
    "Stream",
    "ToolCall",
    "Wire",
    "check_response",
    "check_stream",
    "fake_upstream",
    "http_stage",
    "refusal",
]
