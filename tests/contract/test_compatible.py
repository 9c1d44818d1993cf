"""The contract, kept by a provider that says no more than its headers and quirks."""

from maestro_daemon.plugin import ChatDialect, CompatibleProvider, HttpOptions, Register, Secret, hookimpl
from maestro_daemon.testing import ChatWire, ProviderContract


class Options(HttpOptions):
    """A provider of kind ``chatting`` or ``native``."""

    api_key: Secret
    """The key."""


class Plugin:
    @hookimpl
    def maestro_register_providers(self, register: Register) -> None:
        register("chatting", Options, chatting)
        register("native", Options, native)


def chatting(name: str, options: Options) -> CompatibleProvider:
    quirks = ChatDialect(provider=name)
    return CompatibleProvider(name, options, {"x-api-key": options.api_key.reveal()}, chat=quirks)


def native(name: str, options: Options) -> CompatibleProvider:
    return CompatibleProvider(name, options, {"authorization": f"Bearer {options.api_key.reveal()}"})


class TestChatting(ProviderContract):
    plugin = Plugin
    kind = "chatting"
    wire = ChatWire()


class TestNative(ProviderContract):
    plugin = Plugin
    kind = "native"
