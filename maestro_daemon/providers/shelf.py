"""What one provider lists: read now and again, never forgotten by a failure, but with its login."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from maestro_daemon.errors import MaestroError, UpstreamUnreachable
from maestro_daemon.providers.abilities import models_ttl_of
from maestro_daemon.providers.conduct import Conduct
from maestro_daemon.providers.foreign_code import FAILURES, ends_this_task
from maestro_daemon.providers.provider import Model, Provider

_FIRST_RETRY: Final = 2.0
_LAST_WORDS: Final = 1.0  # seconds that a cancelled reading is given to end
_log: Final = structlog.get_logger(__name__)


class News:
    """Tells whoever waits that one more list was read for the first time."""

    def __init__(self) -> None:
        self._come = asyncio.Event()

    def tell(self) -> None:
        """One was; whoever asks from now on waits for the next."""
        self._come.set()
        self._come = asyncio.Event()

    async def wait(self) -> None:
        """Wait until the next one was."""
        await self._come.wait()


class Shelf:
    """The models of one provider.

    `models` is the last good list, None while there was none; `failure` says in one sentence why the last
    reading failed. `tried` is set once a reading has ended, which `news` is told, too; `conduct` of what the
    provider raises that the contract does not know.
    """

    def __init__(
        self,
        name: str,
        provider: Provider,
        *,
        ttl: float,
        timeout: float,
        sleep: Callable[[float], Awaitable[None]],
        news: News,
        conduct: Conduct | None = None,
    ) -> None:
        self.provider = provider
        self.models: tuple[Model, ...] | None = None
        self.failure: str | None = None
        self.tried = asyncio.Event()
        self._name = name
        self._ttl = ttl
        self._timeout = timeout
        self._sleep = sleep
        self._news = news
        self._failures = 0
        self._readings = 0
        self._forgotten = 0
        self._reading = asyncio.Lock()
        self._asking: asyncio.Task[Sequence[Model] | BaseException] | None = None
        self._conduct = conduct

    async def keep(self) -> None:
        """Read at once, then again and again, until cancelled."""
        while True:
            await self.read()
            ttl = pause = models_ttl_of(self._name, self.provider, self._ttl)
            if self._failures:
                pause = min(ttl, _FIRST_RETRY * 2.0 ** min(self._failures - 1, 20))
            await self._sleep(pause)

    async def read(self) -> None:
        """Read now; a failure is kept, not raised. Whoever asks during a reading waits for that one."""
        readings = self._readings
        async with self._reading:
            if self._readings != readings:
                return
            try:
                self.models = await self._listed()
            except FAILURES as error:  # outsiders' code; one provider must not spoil the others
                if ends_this_task(error):
                    raise
                sentence = self._sentence(error)
                if self._conduct is not None and not isinstance(error, MaestroError | TimeoutError):
                    self._conduct.provider_raised(self._name, "the list of models", type(error).__name__)
                # Said once; an upstream that stays away must not fill the log.
                tell = _log.debug if sentence == self.failure else _log.warning
                tell("models not read", provider=self._name, error=sentence)
                self._failures += 1
                self.failure = sentence
            else:
                self._failures = 0
                self.failure = None
                _log.debug("models read", provider=self._name, models=len(self.models))
            self._readings += 1
            if not self.tried.is_set():
                self.tried.set()
                self._news.tell()

    def forget(self) -> None:
        """Know no list, not even by a reading that is under way: it was that of a login which is gone."""
        self.models = None
        self._forgotten += 1

    async def _listed(self) -> tuple[Model, ...]:
        while True:
            forgotten = self._forgotten
            models = _sound(self._name, await self._asked())
            if forgotten == self._forgotten:
                return models

    async def _asked(self) -> Sequence[Model]:
        """What `models` of the provider gives. Raises what that raises, and `TimeoutError`."""
        if self._asking is not None:
            raise UpstreamUnreachable("The list of models that was asked for before has not come yet.")

        async def asking() -> Sequence[Model] | BaseException:
            try:
                return await self.provider.models()
            except FAILURES as error:  # out of a task a SystemExit would end the loop
                return error

        task = self._asking = asyncio.create_task(asking(), name=f"models of {self._name}")
        task.add_done_callback(self._heard)
        late: object = True
        try:
            _, late = await asyncio.wait({task}, timeout=self._timeout)
        finally:
            if late:
                task.cancel()
                _, running = await asyncio.wait({task}, timeout=min(_LAST_WORDS, self._timeout))
                if running:
                    _log.error("left running: its cancellation was ignored", task=task.get_name())
        if late:
            raise TimeoutError
        given = task.result()
        if isinstance(given, BaseException):
            raise given
        return given

    def _heard(self, task: asyncio.Task[Sequence[Model] | BaseException]) -> None:
        self._asking = None
        if not task.cancelled():
            task.exception()

    def _sentence(self, error: BaseException) -> str:
        if isinstance(error, MaestroError):
            return error.message
        if isinstance(error, TimeoutError):
            return f"The list of models did not come within {self._timeout:g} s."
        return f"The list of models cannot be read: {type(error).__name__}: {error}"


def _sound(provider: str, models: Sequence[Model]) -> tuple[Model, ...]:
    """The entries that are models, each id once."""
    sound: dict[str, Model] = {}
    for model in models:
        if _is_sound(model):
            sound.setdefault(model.id, model)
        else:
            _log.warning("an entry of the list of models is none", provider=provider)
    return tuple(sound.values())


def _is_sound(model: Any) -> bool:
    """Whether it is a model whose fields have their types: nobody checks a plugin's."""
    if not isinstance(model, Model):
        return False
    said: Any = model
    numbers = (said.context_window, said.max_output_tokens)
    abilities = (said.tools, said.vision)
    efforts = said.reasoning_efforts
    return (
        isinstance(said.id, str)
        and said.id != ""
        and isinstance(said.name, str)
        and all(each is None or type(each) is int for each in numbers)
        and all(each is None or type(each) is bool for each in abilities)
        and isinstance(efforts, tuple | list)
        and all(isinstance(effort, str) for effort in efforts)
        and isinstance(said.details, Mapping)
    )
