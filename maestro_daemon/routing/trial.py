"""One attempt at one target, as health sees it."""

from __future__ import annotations

from collections.abc import Callable

from maestro_daemon.routing.breaker import Breaker
from maestro_daemon.routing.failure_class import Failure
from maestro_daemon.routing.vitals import Vitals


class Trial:
    """One attempt at one target, as health sees it: begun, and told its end once.

    `change` says what the attempt did to a breaker, None for nothing.
    """

    __slots__ = (
        "_clock",
        "_epoch",
        "_probe",
        "_record",
        "_reported",
        "_wide_epoch",
        "_wide_probe",
        "change",
    )

    def __init__(self, record: Vitals, clock: Callable[[], float]) -> None:
        own, wide = record.breaker, record.wide
        self._clock = clock
        self._record = record
        self._epoch = own.epoch
        self._wide_epoch = wide.epoch
        self._reported = False
        self.change: str | None = None
        if own.is_open or wide.is_open:
            self._probe = own.begin()
            self._wide_probe = wide.begin()
            self.change = "probe"
        else:
            self._probe = self._wide_probe = False
        record.in_flight += 1

    @property
    def is_probe(self) -> bool:
        """Whether this attempt finds out if the target is back."""
        return self._probe or self._wide_probe

    def answered(self, first_output_after: float) -> None:
        """The first output came, after so many seconds. A probe has shown enough for others to follow."""
        record = self._record
        record.pace.add(first_output_after)
        if self._probe:
            self._epoch = record.breaker.answer(self._epoch)
            self._probe = False
            self.change = "half_open to closed"
        if self._wide_probe:
            self._wide_epoch = record.wide.answer(self._wide_epoch)
            self._wide_probe = False
            self.change = "half_open to closed"

    def succeeded(self) -> None:
        """The whole answer came."""
        if self._reported:
            return
        self._reported = True
        record = self._record
        record.in_flight -= 1
        record.attempts += 1
        now = self._clock()
        if self._probe or self._wide_probe:
            self.change = "half_open to closed"
        record.breaker.succeed(now, self._epoch, probe=self._probe)
        wide = record.wide
        if wide.is_troubled:
            wide.succeed(now, self._wide_epoch, probe=self._wide_probe)

    def failed(self, failure: Failure) -> None:
        """The attempt failed, or the answer did after its beginning."""
        if self._reported:
            return
        if failure.spares_health:
            self.left()
            return
        self._reported = True
        record = self._record
        record.in_flight -= 1
        record.attempts += 1
        record.failures += 1
        # Of the two only the breaker concerned learns of the failure; a probe of the other is merely over.
        if failure.wide:
            self._note(
                record.wide, self._wide_epoch, failure, probe=self._wide_probe, whose="the whole provider"
            )
            record.breaker.leave(self._epoch, probe=self._probe)
        else:
            self._note(record.breaker, self._epoch, failure, probe=self._probe)
            record.wide.leave(self._wide_epoch, probe=self._wide_probe)

    def left(self) -> None:
        """The attempt ended without saying anything: a client that left, another that was faster."""
        if self._reported:
            return
        self._reported = True
        record = self._record
        record.in_flight -= 1
        record.breaker.leave(self._epoch, probe=self._probe)
        record.wide.leave(self._wide_epoch, probe=self._wide_probe)

    def _note(
        self, breaker: Breaker, epoch: int, failure: Failure, *, probe: bool, whose: str | None = None
    ) -> None:
        now = self._clock()
        before = breaker.state(now)
        if breaker.fail(now, epoch, failure, probe=probe):
            seconds = round(breaker.cooldown_left(now), 1)
            self.change = f"{before} to open for {seconds:g}s{f' of {whose}' if whose else ''}"
