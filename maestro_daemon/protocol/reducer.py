"""Deltas of a translated upstream in, one answer's Responses events out, always well-formed.

The machine: one item is open at a time. Text and refusals go to a message, reasoning to a reasoning item,
each tool call to an item of its own; what belongs to another item closes the open one, except that a call
stays open until its arguments are whole. What comes meanwhile waits in line, in order, per call. White space
that nothing follows makes no item. The terminal event is held until `finish`, since usage comes last.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

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
from maestro_daemon.errors import UpstreamBroken
from maestro_daemon.events import ResponseEvent
from maestro_daemon.ids import new_id
from maestro_daemon.protocol.answer_usage import settled_usage
from maestro_daemon.protocol.call_items import call_item
from maestro_daemon.protocol.event_numbers import EventNumbers
from maestro_daemon.protocol.finish_reasons import incomplete_reason
from maestro_daemon.protocol.image_item import image_events
from maestro_daemon.protocol.output_bounds import PLACE_COST, OutputBounds, Piece, room_for_item, size_of
from maestro_daemon.protocol.output_items import MessageItem, OpenItem, ReasoningItem, Status, sealer_for
from maestro_daemon.protocol.response_object import response_object
from maestro_daemon.protocol.surrogates import whole
from maestro_daemon.protocol.tool_names import ToolNames
from maestro_daemon.protocol.waiting_line import Call, WaitingLine
from maestro_daemon.request import ResponseRequest

_LONGEST_BLANK: Final = 1024
"""White space longer than this, in characters, is an answer by itself: models do run away on line ends."""

FIRST_NUMBER: Final = 2
"""Numbers 0 and 1 are the house's preamble."""

_LONGEST_CALL_ID: Final = 64


class ResponseReducer:
    """The events of one answer, from number 2 on (the house sends ``created`` and ``in_progress``).

    `names` restores tools that were flattened for the upstream. `provider` marks sealed reasoning.
    `input_characters` is the size of what was sent, for an upstream that never tells its usage. `now` gives
    unix seconds.
    """

    def __init__(
        self,
        request: ResponseRequest,
        *,
        names: ToolNames | None = None,
        provider: str = "",
        input_characters: int = 0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._request = request
        self._names = ToolNames() if names is None else names
        self._input_characters = input_characters
        self._now = now
        self._sealer = sealer_for(request, provider)
        self._numbers = EventNumbers(FIRST_NUMBER)
        self._output: list[dict[str, Any]] = []
        self._item: OpenItem | None = None
        self._text: MessageItem | None = None
        self._call: Call | None = None
        self._calls: dict[int, Call] = {}
        self._call_ids: set[str] = set()
        self._waiting = WaitingLine()
        self._blank_text = TextDelta("")
        self._blank_reasoning = ""
        self._annotations: list[dict[str, Any]] = []
        self._had_message = False
        self._usage: Usage | None = None
        self._finish: str = ""
        self._served_by: dict[str, Any] = {}
        self._bounds = OutputBounds()

    def feed(self, delta: Delta) -> list[ResponseEvent]:
        """The events that one delta makes, often none. Raises `UpstreamBroken` for a runaway upstream and for
        a call that the request's ``allowed_tools`` forbids; the answer is then to be failed."""
        if type(delta) is TextDelta and self._text is not None and not delta.logprobs:
            text = whole(delta.text)
            if text:
                self._bounds.spend(len(text))
                return [self._text.text(text)]
        match delta:
            case ToolCallDelta():
                return self._take_call(delta)
            case TextDelta() | ReasoningDelta() | RefusalDelta() | AnnotationDelta() | ImageDelta():
                return self._take_piece(delta)
            case Usage():
                self._usage = delta
            case Finish(reason):
                self._finish = reason or self._finish
            case ServedBy(fields):
                self._served_by.update(fields)
        self._bounds.note_empty()
        return []

    def finish(self) -> list[ResponseEvent]:
        """The stream is over: close what is open and end the answer, ``completed`` or ``incomplete``.

        Raises `UpstreamBroken` when no reason to finish came, when the reason is a failure, when a call never
        got its name, and for a runaway; the open items are then the caller's to close.
        """
        if not self._finish:
            raise UpstreamBroken(
                "The upstream's stream ended without a finish reason: its answer was cut off."
            )
        cut = incomplete_reason(self._finish)
        if any(not call.name for call in self._calls.values()):
            raise UpstreamBroken("The upstream made a tool call without naming the tool.")
        events = self._close_all(cut is not None)
        status: Status = "completed" if cut is None else "incomplete"
        response = response_object(
            self._request,
            store=False,
            status=status,
            output=self._output,
            usage=settled_usage(self._usage, self._output, self._input_characters),
            completed_at=int(self._now()) if cut is None else None,
            incomplete_reason=cut,
            fields=self._served_by,
        )
        events.append(self._numbers.event(f"response.{status}", response=response))
        return events

    # Text, reasoning, refusals, annotations

    def _take_piece(self, piece: Piece) -> list[ResponseEvent]:
        size = size_of(piece)
        if not size:
            self._bounds.note_empty()
            return []
        self._bounds.spend(size)
        if self._call is not None and not self._call.whole:
            self._bounds.spend(PLACE_COST)
            self._waiting.add_piece(piece)
            return []
        return self._say(piece)

    def _say(self, piece: Piece) -> list[ResponseEvent]:
        match piece:
            case TextDelta():
                return self._say_text(piece)
            case ReasoningDelta():
                return self._say_reasoning(piece)
            case RefusalDelta(text):
                events, message = self._message()
                self._text = None
                return events + message.refusal(whole(text))
            case ImageDelta():
                return self._show(piece)
            case AnnotationDelta(annotation):
                return self._annotate(annotation)

    def _say_text(self, piece: TextDelta) -> list[ResponseEvent]:
        text = whole(piece.text)
        if self._text is not None:
            return [self._text.text(text, piece.logprobs)]
        blank = self._blank_text
        text, logprobs = blank.text + text, blank.logprobs + piece.logprobs
        if len(text) <= _LONGEST_BLANK and text.isspace():
            self._blank_text = TextDelta(text, logprobs)
            return []
        events, message = self._message()
        self._blank_text = TextDelta("")
        events += message.open_text()
        self._text = message
        events.append(message.text(text, logprobs))
        events += [message.annotate(annotation) for annotation in self._annotations]
        self._annotations = []
        return events

    def _say_reasoning(self, piece: ReasoningDelta) -> list[ResponseEvent]:
        events: list[ResponseEvent] = []
        text = whole(piece.text)
        opaque = piece.opaque if self._sealer else None
        item = self._item
        if not isinstance(item, ReasoningItem):
            text = self._blank_reasoning + text
            if not opaque and len(text) <= _LONGEST_BLANK and not text.strip():
                self._blank_reasoning = text
                return []
            events = self._close_open()
            item = ReasoningItem(self._numbers, len(self._output), self._sealer)
            events += self._open(item)
        if opaque:
            item.keep(whole(opaque))
        return events + item.text(text) if text else events

    def _show(self, image: ImageDelta) -> list[ResponseEvent]:
        events = self._close_open()
        self._make_room()
        item, shown = image_events(image, numbers=self._numbers, output_index=len(self._output))
        self._output.append(item)
        return events + shown

    def _annotate(self, annotation: dict[str, Any]) -> list[ResponseEvent]:
        if self._text is not None:
            return [self._text.annotate(annotation)]
        # Its places are those of the answer's text: before the first message it waits, after it it is void.
        if not self._had_message:
            self._annotations.append(annotation)
        return []

    def _message(self) -> tuple[list[ResponseEvent], MessageItem]:
        """The open message, a new one if none is, and the events of opening it."""
        if isinstance(self._item, MessageItem):
            return [], self._item
        events = self._close_open()
        message = MessageItem(self._numbers, len(self._output))
        self._had_message = True
        return events + self._open(message), message

    # Tool calls

    def _take_call(self, delta: ToolCallDelta) -> list[ResponseEvent]:
        call = self._calls.get(delta.call)
        if call is None:
            self._bounds.spend(PLACE_COST)
        elif not delta.arguments and (call.name or not delta.name) and (call.id or not delta.id):
            self._bounds.note_empty()
            return []
        self._bounds.spend(len(delta.arguments) + len(delta.name))
        if delta.name and not self._names.allows(delta.name):
            raise UpstreamBroken(
                f"The model called {delta.name!r}, which the request's allowed_tools does not allow.",
                code="tool_not_allowed",
            )
        events = []
        if call is None:
            call = self._calls[delta.call] = Call()
            if self._call is None or self._call.whole:
                events = self._close_open()
                self._call = call
            else:
                self._waiting.add_call(call)
        call.id = call.id or delta.id
        call.name = call.name or delta.name
        if call is not self._call:
            if call.item is None:
                call.early.append(delta.arguments)
            return events
        return events + self._argue(call, delta.arguments) + self._go_on()

    def _argue(self, call: Call, arguments: str) -> list[ResponseEvent]:
        """More arguments for the call at the head; its item is opened as soon as its name is known."""
        events = []
        if call.item is None:
            call.early.append(arguments)
            if not call.name:
                return []
            tool = self._names.restore(call.name)
            call.raw = tool.kind == "custom"
            id = self._unique_id(call.id)
            call.item = call_item(tool, call_id=id, numbers=self._numbers, output_index=len(self._output))
            events = self._open(call.item)
            arguments = "".join(call.early)
            call.early.clear()
        arguments = call.cut(arguments)
        return events + call.item.feed(arguments) if arguments else events

    def _go_on(self) -> list[ResponseEvent]:
        """Serve the line while the call at the head is whole."""
        events: list[ResponseEvent] = []
        while self._waiting and (self._call is None or self._call.whole):
            events += self._serve(self._waiting.next())
        return events

    def _serve(self, waited: Call | list[Piece]) -> list[ResponseEvent]:
        if isinstance(waited, Call):
            events = self._close_open()
            self._call = waited
            return events + self._argue(waited, "")
        return [event for piece in waited for event in self._say(piece)]

    def _unique_id(self, said: str) -> str:
        """The upstream's own call id, which the client sends back; a new one where it cannot serve as one."""
        said = whole(said)
        if not said or len(said) > _LONGEST_CALL_ID or said in self._call_ids:
            said = new_id("call", 12)
        self._call_ids.add(said)
        return said

    # Items

    def _open(self, item: OpenItem) -> list[ResponseEvent]:
        self._make_room()
        self._item = item
        return item.open()

    def _make_room(self) -> None:
        """Another item begins: the white space before it is nobody's."""
        room_for_item(len(self._output))
        self._blank_text = TextDelta("")
        self._blank_reasoning = ""

    def _close_open(self, status: Status = "completed") -> list[ResponseEvent]:
        if self._item is None:
            return []
        item, events = self._item.close(status)
        self._output.append(item)
        self._item = self._text = self._call = None
        return events

    def _close_all(self, cut: bool) -> list[ResponseEvent]:
        """End the open item and everything in line. `cut`: the last item is incomplete, as is half a call."""
        self._waiting.drop_blank_end()
        events: list[ResponseEvent] = []
        while True:
            last = not self._waiting
            half = last or (self._call is not None and self._call.half)
            events += self._close_open("incomplete" if cut and half else "completed")
            if last:
                return events
            events += self._serve(self._waiting.next())
