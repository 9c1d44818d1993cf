"""The contract, kept by the provider kind ``openai``."""

import maestro_openai
from maestro_daemon.testing import ProviderContract


class TestOpenAI(ProviderContract):
    plugin = maestro_openai
