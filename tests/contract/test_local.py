"""The contract, kept by the provider kind ``local`` in both dialects."""

from typing import Any

import maestro_local
from maestro_daemon.testing import ChatWire, ProviderContract


class TestLocalChat(ProviderContract):
    plugin = maestro_local
    wire = ChatWire()


class TestLocalResponses(ProviderContract):
    plugin = maestro_local

    def table(self, url: str) -> dict[str, Any]:
        return {**super().table(url), "dialect": "responses"}
