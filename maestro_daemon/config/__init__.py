"""The configuration: one TOML file, checked whole before anything starts."""

from maestro_daemon.config.files import CONFIG_NAME, find
from maestro_daemon.config.loading import Config, ProviderConfig, load
from maestro_daemon.config.tables import (
    ClientOptions,
    ConfigFile,
    MetricsOptions,
    PluginsOptions,
    ProviderTable,
    RouteOptions,
    ServerOptions,
    TlsOptions,
)

__all__ = [
    "CONFIG_NAME",
    "ClientOptions",
    "Config",
    "ConfigFile",
    "MetricsOptions",
    "PluginsOptions",
    "ProviderConfig",
    "ProviderTable",
    "RouteOptions",
    "ServerOptions",
    "TlsOptions",
    "find",
    "load",
]
