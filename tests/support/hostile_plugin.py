"""A plugin that does everything wrong that a plugin can, as the text of its module; the model says what.

Its kind is ``hostile``; the option `at` says where the provider misbehaves beside its answers.
"""

from __future__ import annotations

from typing import Final

HOSTILE: Final = """
import asyncio, json, sys, time
from maestro_daemon.plugin import (
    Accepted, Finish, Model, ResponseEvent, ResponseReducer, Table, TextDelta, Usage, folded, hookimpl,
)


class HostileOptions(Table):
    at: str = ""


async def for_ever():
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass


class HostileProvider:
    def __init__(self, name, options):
        self.name, self.at = name, options.at
        if self.at == "factory":
            raise KeyError("factory")
        if self.at == "factory blocks":
            time.sleep(1.8)

    async def _misbehave(self, where):
        if self.at == where + " raises":
            raise ZeroDivisionError(where)
        if self.at == where + " exits":
            sys.exit(3)
        if self.at == where + " hangs":
            await for_ever()

    def problem(self):
        if self.at == "abilities":
            raise ZeroDivisionError("problem")

    def unmetered_rank(self):
        return 1 // 0 if self.at == "abilities" else None

    def keeps_responses(self, model):
        return 1 // 0 if self.at == "abilities" else False

    def account(self):
        return 1 // 0 if self.at == "abilities" else self.name

    async def start(self):
        await self._misbehave("start")

    async def models(self):
        await self._misbehave("models")
        if self.at == "models nonsense":
            return 7
        wrong = [Model(7), Model("m", context_window="8k"), Model("n", details=3)]
        return [Model("well"), "no model", None, *wrong]

    async def aclose(self):
        await self._misbehave("aclose")

    async def complete(self, request):
        return await folded(self.stream(request))

    async def stream(self, request):
        match request.model:
            case "raises at once":
                raise ZeroDivisionError("at once")
            case "exits":
                sys.exit(4)
            case "cancels itself":
                raise asyncio.CancelledError
            case "cancels its request":
                asyncio.current_task().cancel()
                await asyncio.sleep(0)
            case "yields no event":
                yield {"type": "response.created"}
            case "yields nothing":
                return
        yield Accepted()
        reducer = ResponseReducer(request, provider=self.name)
        for event in reducer.feed(TextDelta("Hello.")):
            yield event
        match request.model:
            case "raises midway":
                raise ZeroDivisionError("midway")
            case "cancels midway":
                asyncio.current_task().cancel()
                await asyncio.sleep(0)
            case "yields no bytes":
                yield ResponseEvent("response.output_text.delta", "text")
            case "yields no json":
                yield ResponseEvent("response.output_text.delta", b"{")
            case "yields none":
                yield None
            case "never ends":
                await asyncio.Event().wait()
            case "ignores its end":
                await for_ever()
            case "refuses to close":
                while True:
                    try:
                        yield ResponseEvent("keepalive", b'{"type":"keepalive"}')
                        await asyncio.sleep(0.05)
                    except GeneratorExit:
                        pass
            case "blocks":
                time.sleep(2.5)
        for delta in (Usage(1, 1), Finish("stop")):
            for event in reducer.feed(delta):
                yield event
        for event in reducer.finish():
            yield event


@hookimpl
def maestro_register_providers(register):
    register("hostile", HostileOptions, HostileProvider)
"""
