"""The configuration: one TOML file, checked whole before anything starts."""

from maestro_daemon.config.files import CONFIG_NAME, find
from maestro_daemon.config.loading import Config, ProviderConfig, load
from maestro_daemon.config.server_tables import MetricsOptions, ServerOptions, TlsOptions
from maestro_daemon.config.tables import (
    ClientOptions,
    ConfigFile,
    PluginsOptions,
    ProviderTable,
    RouteOptions,
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
