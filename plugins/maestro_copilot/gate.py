"""The way to Copilot's API: its connections, under whatever bearer and address the account has now."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from maestro_copilot.account import Account, Bearer
from maestro_copilot.options import CopilotOptions
from maestro_daemon.plugin import CredentialsRefused, HttpUpstream, UpstreamRefused

_QUESTION_TIMEOUT: Final = 30.0


@dataclass(frozen=True, slots=True)
class Entry:
    """Copilot's API as it is reached with one `bearer`: `http` for requests, `questions` for the rest."""

    bearer: Bearer
    http: HttpUpstream
    questions: HttpUpstream


class Gate:
    """The connections of one account. Requests may wait in a queue, questions do not wait behind them."""

    def __init__(self, name: str, options: CopilotOptions, account: Account) -> None:
        self._account = account
        headers = {**options.editor_headers(), **options.headers}
        base_url = account.hosts.copilot
        self._http = HttpUpstream(
            base_url,
            provider=name,
            headers=headers,
            connect_timeout=options.connect_timeout,
            first_byte_timeout=options.first_byte_timeout,
            idle_timeout=options.idle_timeout,
            max_concurrent=options.max_concurrent,
        )
        self._questions = HttpUpstream(
            base_url,
            provider=name,
            headers=headers,
            connect_timeout=options.connect_timeout,
            first_byte_timeout=_QUESTION_TIMEOUT,
            idle_timeout=_QUESTION_TIMEOUT,
        )
        self._entry: Entry | None = None

    async def entry(self) -> Entry:
        """The way in now. Raises as `Account.bearer`."""
        return self._with(await self._account.bearer())

    async def renewed(self, refused: Entry) -> Entry | None:
        """The way in after Copilot refused the bearer of `refused`; None if there is no better one."""
        bearer = await self._account.renewed(refused.bearer)
        return None if bearer is None else self._with(bearer)

    async def get(self, path: str, headers: Mapping[str, str]) -> tuple[bytes, Mapping[str, str]]:
        """The body and the headers (lower-case names) of ``GET path``.

        A refused bearer is renewed once. Raises as `Account.bearer` and `HttpUpstream.request`.
        """
        entry = await self.entry()
        try:
            return await self._get(entry, path, headers)
        except CredentialsRefused:
            renewed = await self.renewed(entry)
            if renewed is None:
                raise
        return await self._get(renewed, path, headers)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._questions.aclose()
        await self._http.aclose()

    async def _get(
        self, entry: Entry, path: str, headers: Mapping[str, str]
    ) -> tuple[bytes, Mapping[str, str]]:
        sent = {"x-request-id": str(uuid.uuid4()), **headers}
        try:
            async with entry.questions.request("GET", path, headers=sent) as answer:
                answered = {name.lower(): value for name, value in answer.headers.items()}
                self._account.note_quota(answered)
                return await entry.questions.read(answer), answered
        except UpstreamRefused as refusal:
            self._account.note_quota(refusal.headers)
            raise

    def _with(self, bearer: Bearer) -> Entry:
        if self._entry is None or self._entry.bearer != bearer:
            headers = {"authorization": bearer.authorization}
            self._entry = Entry(
                bearer,
                self._http.at(bearer.base_url, headers),
                self._questions.at(bearer.base_url, headers),
            )
        return self._entry
