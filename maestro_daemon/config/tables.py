"""The house's own tables of the TOML file. What a provider's table holds is its plugin's affair."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from maestro_daemon.config.server_tables import MetricsOptions, ServerOptions
from maestro_daemon.providers.options import Duration, Table, Timeout
from maestro_daemon.providers.registry import LOAD_TIMEOUT
from maestro_daemon.providers.secret import Secret
from maestro_daemon.request import Timeouts
from maestro_daemon.routing.breaker import BreakerRules
from maestro_daemon.routing.budget import BudgetRules
from maestro_daemon.routing.target import KEPT_FOR, Balance
from maestro_daemon.routing.terms import Terms
from maestro_daemon.server.client import Client
from maestro_daemon.server.issued_keys import MOST_REQUESTS, MOST_STREAMS, MOST_TOKENS, NAME

ROUTE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
PROVIDER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
CLIENT_NAME: Final = re.compile(NAME)


def _target(target: str) -> str:
    provider, slash, model = target.partition("/")
    if not slash or not provider or not model or not target.isprintable() or target != target.strip():
        raise ValueError('must be "provider/model": the name of a provider, a slash, the model\'s id there')
    return target


Target = Annotated[str, AfterValidator(_target)]


class ClientOptions(Table):
    """A client that may use the daemon. Without any client only this machine is served.
    `maestro-daemon keys add NAME` makes a client with the same limits without a table."""

    key: Annotated[Secret, Field(examples=[{"file": "/etc/maestro-daemon/alice.key"}])]
    """The key that the client shows as `Authorization: Bearer` or `x-api-key`."""

    admin: bool = False
    """Whether the key also opens `/admin` and `/metrics`."""

    routes: Annotated[list[str] | None, Field(min_length=1, examples=[["coder", "local/*"]])] = None
    """The only models that the client may ask for: routes, "auto", "provider/model", or "provider/*" for all
    of a provider."""

    requests_per_minute: Annotated[int | None, Field(ge=1, le=MOST_REQUESTS, examples=[60])] = None
    """How many requests the client may send within any minute."""

    streams: Annotated[int | None, Field(ge=1, le=MOST_STREAMS, examples=[4])] = None
    """How many streams the client may have open at once."""

    tokens_per_day: Annotated[int | None, Field(ge=1, le=MOST_TOKENS, examples=[2_000_000])] = None
    """How many tokens, of input and output together, the client may use in a day of UTC."""

    def client(self, name: str) -> Client:
        """Whom the key stands for."""
        routes = None if self.routes is None else tuple(self.routes)
        return Client(name, self.admin, routes, self.requests_per_minute, self.streams, self.tokens_per_day)


class ProviderTable(Table):
    """A provider: where models come from. These keys are the house's, all others the kind's own."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Any]

    kind: Annotated[str, Field(examples=["openai"])]
    """What a plugin registered; `maestro-daemon plugins` lists them."""

    affinity: Duration = KEPT_FOR
    """How long after its last answer a conversation stays here: while its prompt cache may be warm.
    With "0s" each turn is balanced anew."""

    first_output_timeout: Timeout = 900.0
    """How long a stream may take from its acceptance to the first output: a model may think before that."""

    total_timeout: Timeout = 7200.0
    """How long an answer may take in all, from the arrival of its request, other targets before included."""


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

    max_wait: Duration = 2.0
    """A target whose failure may pass is asked once more if the wait is no longer than this."""

    hedge: bool = False
    """Ask a second target when the first is slower to begin than 95 % of the route's answers were. The first
    output wins, the other request is dropped; both may cost."""

    log_bodies: bool = False
    """Log requests and answers of this route: everything that is said, keys left out."""

    connect_timeout: Annotated[Timeout | None, Field(examples=["5s"])] = None
    """Instead of the providers' own: how long a connection may take to be made."""

    first_byte_timeout: Annotated[Timeout | None, Field(examples=["30s"])] = None
    """Instead of the providers' own: until the headers of the answer."""

    first_output_timeout: Annotated[Timeout | None, Field(examples=["2m"])] = None
    """Instead of the providers' own: from the acceptance of a stream to its first output."""

    idle_timeout: Annotated[Timeout | None, Field(examples=["1m"])] = None
    """Instead of the providers' own: of silence in the middle of an answer."""

    total_timeout: Annotated[Timeout | None, Field(examples=["10m"])] = None
    """Instead of the providers' own: for the whole answer."""

    def terms(self) -> Terms:
        """What the route grants its requests."""
        own = Timeouts(self.connect_timeout, self.first_byte_timeout, self.idle_timeout)
        return Terms(
            self.max_wait,
            self.hedge,
            self.first_output_timeout,
            self.total_timeout,
            None if own == Timeouts() else own,
        )


class BreakerOptions(Table):
    """When a target that fails is left alone, for how long, and how much is tried again."""

    failures: Annotated[int, Field(ge=1, le=1000)] = 3
    """So many failures in a row open the breaker of a target."""

    ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    """So does this share of failures among the attempts of a window."""

    least: Annotated[int, Field(ge=1, le=100_000)] = 10
    """The share counts from so many attempts on."""

    window: Timeout = 60.0
    """How far back the share looks."""

    cooldown: Timeout = 30.0
    """How long a target is left alone at first, if it did not say itself; each further time twice as long."""

    longest_cooldown: Timeout = 300.0
    """The longest that this grows to."""

    quota_cooldown: Timeout = 1800.0
    """How long a provider is left alone whose account is out of credit."""

    longest_retry_after: Timeout = 86400.0
    """What an upstream's Retry-After counts at most."""

    retry_ratio: Annotated[float, Field(ge=0, le=10)] = 0.2
    """How many retries of the same target, and hedges, there may be per request within ten seconds."""

    retry_reserve: Annotated[int, Field(ge=0, le=100_000)] = 10
    """So many retries there may be within ten seconds beside these."""

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.longest_cooldown < self.cooldown:
            raise ValueError("longest_cooldown must not be shorter than cooldown")
        return self

    def rules(self) -> BreakerRules:
        """The rules of breakers."""
        return BreakerRules(
            failures=self.failures,
            ratio=self.ratio,
            least=self.least,
            window=self.window,
            cooldown=self.cooldown,
            longest_cooldown=self.longest_cooldown,
            quota_cooldown=self.quota_cooldown,
            longest_retry_after=self.longest_retry_after,
        )

    def budget(self) -> BudgetRules:
        """The rules of the retry budget."""
        return BudgetRules(self.retry_ratio, self.retry_reserve)


class PluginsOptions(Table):
    """Which installed plugins are loaded."""

    enabled: Annotated[list[str] | None, Field(examples=[["openai", "local"]])] = None
    """Load only these, in this order. Without it all are loaded."""

    disabled: Annotated[list[str], Field(examples=[["local"]])] = []
    """Never load these."""

    load_timeout: Timeout = LOAD_TIMEOUT
    """How long one plugin may take to load; one that takes longer is left out."""


class ConfigFile(Table):
    """The TOML file of maestro-daemon."""

    server: ServerOptions = ServerOptions()
    clients: dict[str, ClientOptions] = {}
    providers: dict[str, ProviderTable] = {}
    routes: dict[str, RouteOptions] = {}
    breaker: BreakerOptions = BreakerOptions()
    metrics: MetricsOptions = MetricsOptions()
    plugins: PluginsOptions = PluginsOptions()
