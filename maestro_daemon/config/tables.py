"""The house's own tables of the TOML file. What a provider's table holds is its plugin's affair."""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from maestro_daemon.providers.options import ConfigPath, Duration, Size, Table, Timeout
from maestro_daemon.providers.secret import Secret
from maestro_daemon.routing.target import KEPT_FOR, Balance

ROUTE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
PROVIDER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
CLIENT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")


def _readable(path: Path) -> Path:
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError(f"{path} is no file that can be read")
    return path


def _host(host: str) -> str:
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not re.fullmatch(r"[A-Za-z0-9._:%-]+", bare):
        raise ValueError('must be a host name or an address, like "127.0.0.1"')
    return bare


def _target(target: str) -> str:
    provider, slash, model = target.partition("/")
    if not slash or not provider or not model or not target.isprintable() or target != target.strip():
        raise ValueError('must be "provider/model": the name of a provider, a slash, the model\'s id there')
    return target


ReadableFile = Annotated[ConfigPath, AfterValidator(_readable)]
Host = Annotated[str, AfterValidator(_host)]
Target = Annotated[str, AfterValidator(_target)]


class TlsOptions(Table):
    """Serve https instead of http."""

    cert: Annotated[ReadableFile, Field(examples=["/etc/maestro-daemon/tls.crt"])]
    """The certificate chain, PEM."""

    key: Annotated[ReadableFile, Field(examples=["/etc/maestro-daemon/tls.key"])]
    """The private key, PEM, without a passphrase."""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        try:
            # An empty passphrase keeps OpenSSL from asking for one on the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.cert, self.key, password="")
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "reason", None) or error.strerror or "not PEM"
            raise ValueError(f"cert and key cannot be used together: {reason}") from None
        return self


class ServerOptions(Table):
    """Where the daemon listens, and its limits."""

    host: Host = "127.0.0.1"
    """The address to listen on. Beyond this machine only with client keys."""

    port: Annotated[int, Field(ge=0, le=65535)] = 8787
    """The port to listen on; 0 lets the system choose one."""

    keepalive: Timeout = 15.0
    """After this much silence of an upstream the client gets a keepalive event."""

    max_body: Annotated[Size, Field(gt=0)] = 64 * 2**20
    """The largest request body, decompressed."""

    drain: Duration = 60.0
    """How long running answers may go on after SIGTERM."""

    send_timeout: Timeout = 60.0
    """A client that takes none of its answer for this long is dropped."""

    header_timeout: Timeout = 30.0
    """How long a client may take to send a request's headers."""

    body_timeout: Timeout = 120.0
    """How long a client may take to send a request's body."""

    allowed_hosts: Annotated[list[Host], Field(examples=[["devbox.lan"]])] = []
    """Names beside localhost that a request's Host may hold while there are no client keys."""

    tls: TlsOptions | None = None


class ClientOptions(Table):
    """A client that may use the daemon. Without any client only this machine is served."""

    key: Annotated[Secret, Field(examples=[{"file": "/etc/maestro-daemon/alice.key"}])]
    """The key that the client shows as `Authorization: Bearer` or `x-api-key`."""


class ProviderTable(Table):
    """A provider: where models come from. These keys are the house's, all others the kind's own."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Any]

    kind: Annotated[str, Field(examples=["openai"])]
    """What a plugin registered; `maestro-daemon plugins` lists them."""

    affinity: Duration = KEPT_FOR
    """How long after its last answer a conversation stays here: while its prompt cache may be warm.
    With "0s" each turn is balanced anew."""


class RouteOptions(Table):
    """A model name that clients ask for, and the targets that answer it."""

    targets: Annotated[list[Target], Field(min_length=1, examples=[["openai/gpt-5.5", "local/qwen3-coder"]])]
    """Who answers, as "provider/model"."""

    balance: Balance = "round_robin"
    """Who gets a new conversation: with "round_robin" each in its turn, "weighted" each by its weight,
    "least_busy" who has the fewest requests under way, "in_order" always the first.
    Later turns stay with who served the conversation. The others follow where it fails."""

    weights: Annotated[
        dict[Target, Annotated[int, Field(ge=1, le=1_000_000)]],
        Field(examples=[{"openai/gpt-5.5": 3, "local/qwen3-coder": 1}]),
    ] = {}
    """With balance "weighted": how many conversations each target gets for one of a target that is not
    named here."""

    fallbacks: Annotated[list[Target], Field(examples=[["local/qwen3-4b"]])] = []
    """Tried in this order, only after every target failed."""


class PluginsOptions(Table):
    """Which installed plugins are loaded."""

    enabled: Annotated[list[str] | None, Field(examples=[["openai", "local"]])] = None
    """Load only these, in this order. Without it all are loaded."""

    disabled: Annotated[list[str], Field(examples=[["local"]])] = []
    """Never load these."""


class ConfigFile(Table):
    """The TOML file of maestro-daemon."""

    server: ServerOptions = ServerOptions()
    clients: dict[str, ClientOptions] = {}
    providers: dict[str, ProviderTable] = {}
    routes: dict[str, RouteOptions] = {}
    plugins: PluginsOptions = PluginsOptions()
