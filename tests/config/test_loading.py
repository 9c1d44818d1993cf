"""A configuration is read whole: everything wrong is said at once, each with its place."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from maestro_daemon.config import Config, files, load
from maestro_daemon.errors import ConfigInvalid
from maestro_daemon.plugin import HttpOptions, Register, Secret, Table, hookimpl
from maestro_daemon.providers.registry import Registry


class Quota(Table):
    """A table inside."""

    tokens: int = 5
    """How many."""


class Options(HttpOptions):
    """Of kind fake."""

    api_key: Secret | None = None
    quota: Quota | None = None
    mode: Annotated[int | str, Field()] = 1


class Lax(BaseModel):
    """An outsider's model that says nothing about unknown keys."""

    wanted: int = 1


class Fakes:
    """A plugin with two kinds."""

    @hookimpl
    def maestro_register_providers(self, register: Register) -> None:
        register("fake", Options, lambda name, options: None)  # type: ignore[arg-type,return-value]
        register("lax", Lax, lambda name, options: None)  # type: ignore[arg-type,return-value]


FAKE = '[providers.home]\nkind = "fake"\nbase_url = "https://host/v1"\n'


@pytest.fixture(autouse=True)
def _no_configuration_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(files, "_OF_THE_MACHINE", tmp_path / "not-there.toml")


@pytest.fixture
def registry() -> Registry:
    one = Registry(list)
    one.add(Fakes(), "fakes")
    return one


@pytest.fixture
def toml(tmp_path: Path, registry: Registry) -> Callable[..., Config]:
    """Load a text as the file ``maestro.toml``, mode 0600 unless said otherwise."""

    def load_text(text: str, mode: int = 0o600, **environ: str) -> Config:
        path = tmp_path / "maestro.toml"
        path.write_text(text, newline="")
        path.chmod(mode)
        return load(path, registry, environ=environ)

    return load_text


@pytest.fixture
def faults(toml: Callable[..., Config], tmp_path: Path) -> Callable[..., list[str]]:
    """The lines of the error about a text, without the file's directory."""

    def lines(text: str, **more: Any) -> list[str]:
        with pytest.raises(ConfigInvalid) as caught:
            toml(text, **more)
        return caught.value.message.replace(f"{tmp_path}/", "").split("\n")

    return lines


def test_a_whole_configuration(toml: Callable[..., Config], tmp_path: Path) -> None:
    config = toml(
        """
        [server]
        host = "0.0.0.0"
        port = 0
        keepalive = "5s"
        max_body = "1MiB"
        allowed_hosts = ["devbox.lan"]
        [clients.alice]
        key = { env = "ALICE" }
        [clients."bob@home"]
        key = "bobs-key"
        [providers.home]
        kind = "fake"
        base_url = "http://localhost:1/v1/"
        api_key = { file = "home.key" }
        quota = { tokens = 3 }
        [providers.other]
        kind = "lax"
        [routes."gpt-5.5"]
        targets = ["home/a", "other/b/c"]
        balance = "in_order"
        fallbacks = ["home/b"]
        [routes.auto]
        targets = ["home/a"]
        """
        if (tmp_path / "home.key").write_text("hidden\n")
        else "",
        ALICE="alices-key",
    )
    assert config.source == tmp_path / "maestro.toml"
    assert (config.server.port, config.server.keepalive, config.server.max_body) == (0, 5, 2**20)
    assert {name: client.key.reveal() for name, client in config.clients.items()} == {
        "alice": "alices-key",
        "bob@home": "bobs-key",
    }
    home = config.providers["home"]
    assert isinstance(home.options, Options)
    assert (home.name, home.kind, home.options.base_url) == ("home", "fake", "http://localhost:1/v1")
    assert home.options.quota == Quota(tokens=3)
    assert list(config.routes) == ["gpt-5.5", "auto"]
    assert config.routes["gpt-5.5"].targets == ["home/a", "other/b/c"]
    assert config.routes["auto"].balance == "round_robin"
    assert sorted(secret.reveal() for secret in config.secrets()) == ["alices-key", "bobs-key", "hidden"]


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "\ufeff[server]\nport = 1\n", "[server]\r\nport = 1\r\n"]
)
def test_little_is_enough(toml: Callable[..., Config], text: str) -> None:
    assert toml(text).providers == {}


def test_a_conversation_stays_with_each_provider_for_its_own_time(toml: Callable[..., Config]) -> None:
    providers = toml(
        FAKE + 'affinity = "5m"\n[providers.lax]\nkind = "lax"\n[providers.no]\nkind = "lax"\naffinity = "0s"'
    ).providers
    assert {name: each.affinity for name, each in providers.items()} == {"home": 300, "lax": 3600, "no": 0}
    assert isinstance(providers["home"].options, Options)
    assert not hasattr(providers["home"].options, "affinity")


def test_weights_are_by_target_in_either_form_of_a_table(toml: Callable[..., Config]) -> None:
    head = FAKE + '[routes.x]\ntargets = ["home/m", "home/n"]\nbalance = "weighted"\n'
    inline = toml(head + 'weights = { "home/m" = 3 }')
    table = toml(head + '[routes.x.weights]\n"home/m" = 3')
    assert inline.routes["x"].weights == table.routes["x"].weights == {"home/m": 3}


def test_everything_wrong_is_said_at_once_in_the_files_order(faults: Callable[..., list[str]]) -> None:
    assert faults(
        """[server]
prot = 99
keepalive = 15
[server.tls]
cret = "x"
[clients]
alice = "secret"
[providers.x]
kind = "fak"
[providers.y]
kind = "fake"
base_url = "http://10.0.0.1/"
max_concurent = 3
[routes.coder]
balance = "roundrobin"
targets = ["a", "z/b",
   "y/c"]
[routes."b ad"]
targets = []
[serve]
"""
    ) == [
        "maestro.toml:2:1: server.prot: unknown key; did you mean 'port'?",
        'maestro.toml:3:1: server.keepalive: must be a string with a unit (ms, s, m, h), like "15s"',
        "maestro.toml:4:1: server.tls.cert: is required and missing",
        "maestro.toml:4:1: server.tls.key: is required and missing",
        "maestro.toml:5:1: server.tls.cret: unknown key; did you mean 'cert'?",
        "maestro.toml:7:1: clients.alice: must be a table: [clients.alice]",
        "maestro.toml:9:1: providers.x.kind: unknown kind 'fak'; did you mean 'fake'?",
        "maestro.toml:12:1: providers.y.base_url: may be plain http only on this machine "
        "(localhost, 127.0.0.1, [::1]); use https",
        "maestro.toml:13:1: providers.y.max_concurent: unknown key; did you mean 'max_concurrent'?",
        "maestro.toml:15:1: routes.coder.balance: must be 'round_robin', 'in_order', 'weighted' or "
        "'least_busy'; did you mean 'round_robin'?",
        'maestro.toml:16:12: routes.coder.targets[0]: must be "provider/model": the name of a provider, '
        "a slash, the model's id there",
        'maestro.toml:18:1: routes."b ad": a name holds only letters, digits, ., _, -, :, /, @ and + '
        "and begins with a letter or digit",
        "maestro.toml:20:1: serve: unknown key; did you mean 'server'?",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "port = 1",
            "1:1: port: unknown key; known here: server, clients, providers, routes, breaker, metrics, "
            "plugins",
        ),
        ("server = 5", "1:1: server: must be a table: [server]"),
        ("providers = 5", "1:1: providers: must be tables: [providers.NAME]"),
        ("[[routes]]\na = 1", "1:1: routes: must be tables: [routes.NAME]"),
        ("[server]\nport = 70000", "2:1: server.port: must be less than or equal to 65535"),
        ('[server]\nport = "8787"', "2:1: server.port: must be a whole number"),
        ("[server]\nport = true", "2:1: server.port: must be a whole number"),
        ("[server]\nport = 1.5", "2:1: server.port: must be a whole number"),
        ("server.port = -1", "1:8: server.port: must be greater than or equal to 0"),
        ("[server]\nhost = 5", "2:1: server.host: must be a string"),
        ('[server]\nhost = ""', '2:1: server.host: must be a host name or an address, like "127.0.0.1"'),
        ('[server]\nallowed_hosts = "x"', "2:1: server.allowed_hosts: must be an array"),
        ("[server]\nallowed_hosts = [\n  1,\n]", "3:3: server.allowed_hosts[0]: must be a string"),
        ("[server]\ntls = 1", "2:1: server.tls: must be a table"),
        ('[server]\ndrain = "1 day"', "must be a number and a unit (ms, s, m, h), like"),
        ('[server]\nkeepalive = "0s"', "2:1: server.keepalive: must be greater than 0"),
        ("[clients.alice]", "1:1: clients.alice.key: is required and missing"),
        ('[clients."a b"]\nkey = "x"', '1:1: clients."a b": a name holds only letters'),
        ("[providers.home]", "1:1: providers.home.kind: is required and missing"),
        ("[providers.home]\nkind = 5", "2:1: providers.home.kind: must be a string"),
        ('[providers."a/b"]\nkind = "fake"', '1:1: providers."a/b": a name holds only letters'),
        ('[providers.home]\nkind = "fake"', "1:1: providers.home.base_url: is required and missing"),
        (FAKE + "quota.tokns = 1", "4:7: providers.home.quota.tokns: unknown key; did you mean 'tokens'?"),
        (FAKE + "quota = {\ttokens = 'x' }", "4:11: providers.home.quota.tokens: must be a whole number"),
        (FAKE + "mode = 1.5", "4:1: providers.home.mode: must be a whole number"),
        (
            '[providers.a]\nkind = "lax"\nwnted = 2',
            "3:1: providers.a.wnted: unknown key; did you mean 'wanted'?",
        ),
        (FAKE + "[routes.x]", "4:1: routes.x.targets: is required and missing"),
        (FAKE + "[routes.x]\ntargets = []", "5:1: routes.x.targets: must not be empty"),
        (FAKE + '[routes.x]\ntargets = ["home/"]', '5:12: routes.x.targets[0]: must be "provider/model"'),
        (FAKE + '[routes.x]\ntargets = ["/m"]', '5:12: routes.x.targets[0]: must be "provider/model"'),
        (
            FAKE + '[routes.x]\ntargets = ["hom/m"]',
            "5:12: routes.x.targets[0]: 'hom/m' can never be tried: no provider 'hom'; did you mean 'home'?",
        ),
        (
            '[routes.x]\ntargets = ["home/m"]',
            "2:12: routes.x.targets[0]: 'home/m' can never be tried: no provider 'home'; configured: none",
        ),
        (
            FAKE + '[routes.x]\ntargets = ["home/m"]\nfallbacks = ["home/n", "home/m"]',
            "6:24: routes.x.fallbacks[1]: 'home/m' can never be tried: it stands in targets already",
        ),
        (
            FAKE + '[routes.x]\ntargets = ["home/m", "home/m"]',
            "5:22: routes.x.targets[1]: 'home/m' can never be tried: it stands in targets already",
        ),
        (
            FAKE + '[routes.x]\ntargets = ["home/m"]\nweights = { "home/m" = 2 }',
            '6:1: routes.x.weights: means nothing while balance is "round_robin": set balance = "weighted"',
        ),
        (
            FAKE + '[routes.x]\ntargets = ["home/m"]\nbalance = "weighted"\nweights = { "home/m" = 0 }',
            '7:13: routes.x.weights."home/m": must be greater than or equal to 1',
        ),
        (
            FAKE + '[routes.x]\ntargets = ["home/m"]\nbalance = "weighted"\nweights = { "home/m" = 1.5 }',
            '7:13: routes.x.weights."home/m": must be a whole number',
        ),
        (
            FAKE
            + '[routes.x]\ntargets = ["home/mini"]\nbalance = "weighted"\n[routes.x.weights]\n"home/mni" = 2',
            "8:1: routes.x.weights.\"home/mni\": 'home/mni' can have no weight: it is no target of this "
            "route; did you mean 'home/mini'?",
        ),
        (
            FAKE + '[routes.x]\ntargets = ["home/m"]\nfallbacks = ["home/n"]\nbalance = "weighted"\n'
            'weights = { "home/n" = 2 }',
            "8:13: routes.x.weights.\"home/n\": 'home/n' can have no weight: it is a fallback, and these are "
            "tried in order",
        ),
        (FAKE + "affinity = 5", "4:1: providers.home.affinity: must be a string with a unit"),
        (FAKE + 'afinity = "5s"', "4:1: providers.home.afinity: unknown key; did you mean 'affinity'?"),
        ('[plugins]\nenabled = ["nope"]', "2:12: plugins.enabled[0]: no plugin 'nope' is installed"),
        ('[plugins]\ndisabled = ["nope"]', "2:13: plugins.disabled[0]: no plugin 'nope' is installed"),
        ('[plugins]\ndisabled = "nope"', "2:1: plugins.disabled: must be an array"),
        ('[server]\nhost = "0.0.0.0"', "2:1: server.host: '0.0.0.0' can be reached from other machines"),
        ('[server]\nhost = "::"', "2:1: server.host: '::' can be reached from other machines"),
        (
            '[clients.a]\nkey = "same"\n[clients.b]\nkey = "same"',
            "4:1: clients.b.key: is the same key as that of client 'a'",
        ),
        (
            "[clients.a]\nkey = { env = 'UNSET_VARIABLE' }",
            "2:1: clients.a.key: the environment variable UNSET_VARIABLE is not set",
        ),
    ],
)
def test_one_fault_has_its_place_and_its_sentence(
    faults: Callable[..., list[str]], text: str, fault: str
) -> None:
    (line,) = faults(text)
    assert line.startswith("maestro.toml:")
    assert fault in line


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a = 1\nb = \n", "2:5"),
        ('a = "', "1:6"),
        ("[server\nport = 1", "1:8"),
        ("a = 1\na = 2", "2:6"),
        ("[a]\n[a]\n", "2:3"),
        ("a = [\n" * 3, "2:1"),
    ],
)
def test_a_syntax_error_is_one_sentence_with_its_place(
    faults: Callable[..., list[str]], text: str, where: str
) -> None:
    (line,) = faults(text)
    assert line.startswith(f"maestro.toml:{where}: is not valid TOML: ")


def test_text_that_is_nested_without_end_is_a_sentence(faults: Callable[..., list[str]]) -> None:
    assert faults("a = " + "[" * 100_000) == ["maestro.toml: is nested too deeply."]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_secret_in_a_file_that_others_read_is_refused_and_not_repeated(
    faults: Callable[..., list[str]], mode: int
) -> None:
    (line,) = faults('[clients.a]\nkey = "hunter22"', mode=mode)
    assert "maestro.toml:2:1: clients.a.key: a secret may stand in the file only when" in line
    assert "hunter22" not in line


def test_no_fault_ever_repeats_a_secret(faults: Callable[..., list[str]]) -> None:
    lines = faults(
        FAKE
        + 'api_key = ["hunter22"]\nmax_concurrent = "hunter22"\n'
        + '[clients]\na = "hunter22"\n[clients.b]\nkey = "hunter22"\nkeys = "hunter22"\n'
    )
    assert len(lines) == 4
    assert "hunter22" not in "\n".join(lines)


def test_a_broken_table_makes_no_second_fault_of_those_who_name_it(faults: Callable[..., list[str]]) -> None:
    lines = faults('[providers.a]\nkind = "no"\n[clients.x]\nkey = 5\n[server]\nhost = "0.0.0.0"\n')
    assert [line.split(": ")[1] for line in lines] == ["providers.a.kind", "clients.x.key"]


def test_relative_files_start_at_the_configuration(
    toml: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "alice.key").write_text("abc")
    monkeypatch.chdir("/")
    assert toml('[clients.alice]\nkey = { file = "alice.key" }').clients["alice"].key.reveal() == "abc"


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


OPENSSL = pytest.mark.skipif(
    shutil.which("openssl") is None and "CI" not in os.environ, reason="openssl is not installed"
)


@pytest.fixture
def pair(tmp_path: Path) -> Mapping[str, Path]:
    """A certificate, its key, another key, and the key with a passphrase."""
    paths = {name: tmp_path / f"{name}.pem" for name in ("cert", "key", "other", "locked")}
    for key in ("key", "other"):
        openssl("genpkey", "-algorithm", "ED25519", "-out", paths[key])
    openssl("req", "-x509", "-key", paths["key"], "-out", paths["cert"], "-subj", "/CN=localhost")
    openssl("pkey", "-in", paths["key"], "-aes256", "-passout", "pass:x", "-out", paths["locked"])
    return paths


@OPENSSL
def test_a_certificate_and_its_key_are_taken(toml: Callable[..., Config], pair: Mapping[str, Path]) -> None:
    tls = toml('[server.tls]\ncert = "cert.pem"\nkey = "key.pem"').server.tls
    assert tls is not None
    assert (tls.cert, tls.key) == (pair["cert"], pair["key"])


@OPENSSL
@pytest.mark.parametrize(
    ("cert", "key", "said"),
    [
        ("cert.pem", "other.pem", "server.tls: cert and key cannot be used together"),
        ("cert.pem", "locked.pem", "server.tls: cert and key cannot be used together"),
        ("key.pem", "cert.pem", "server.tls: cert and key cannot be used together"),
        ("none.pem", "key.pem", "server.tls.cert: "),
    ],
)
def test_a_certificate_without_its_key_is_refused(
    faults: Callable[..., list[str]], pair: Mapping[str, Path], cert: str, key: str, said: str
) -> None:
    (line,) = faults(f'[server.tls]\ncert = "{cert}"\nkey = "{key}"')
    assert said in line


def test_without_any_file_the_defaults_hold(registry: Registry, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(None, registry, environ={"XDG_CONFIG_HOME": str(tmp_path)})
    assert config == Config()


FOUND = {
    "home": {"kind": "fake", "base_url": "http://127.0.0.1:1/v1"},
    "gone": {"kind": "of a plugin that is not there"},
}


def test_what_is_found_is_served_where_no_provider_is_configured(
    registry: Registry, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "maestro.toml").write_text('[routes.coder]\ntargets = ["home/m"]\n')
    config = load(None, registry, environ={}, discover=lambda: FOUND)
    assert list(config.providers) == ["home"]
    assert config.found == ("home",)


def test_nothing_is_looked_for_where_a_provider_is_configured(registry: Registry, tmp_path: Path) -> None:
    def discover() -> Mapping[str, Mapping[str, Any]]:
        raise AssertionError("looked for")

    path = tmp_path / "maestro.toml"
    path.write_text(FAKE)
    assert load(path, registry, environ={}, discover=discover).found == ()


def test_faults_without_a_file_name_only_the_key(
    registry: Registry, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigInvalid) as caught:
        load(
            None,
            registry,
            environ={"XDG_CONFIG_HOME": str(tmp_path)},
            discover=lambda: {"home": {"kind": "fake"}},
        )
    assert caught.value.message == "providers.home.base_url: is required and missing"


@pytest.fixture
def installed() -> Registry:
    """A registry that finds the installed plugins."""
    return Registry()


@pytest.mark.parametrize(
    "plugins", ['disabled = ["openai"]', 'enabled = ["local"]', 'enabled = ["openai"]\ndisabled = ["openai"]']
)
def test_a_provider_of_a_disabled_plugin_and_its_targets_are_refused(
    installed: Registry, tmp_path: Path, plugins: str
) -> None:
    path = tmp_path / "maestro.toml"
    path.write_text(
        '[providers.openai]\nkind = "openai"\napi_key = { env = "K" }\n'
        f'[routes.coder]\ntargets = ["openai/gpt-5.5"]\n[plugins]\n{plugins}\n'
    )
    with pytest.raises(ConfigInvalid) as caught:
        load(path, installed, environ={"K": "sk-12345678"})
    kind, target = caught.value.message.split("\n")
    assert kind.endswith(
        ":2:1: providers.openai.kind: kind 'openai' is disabled: [plugins] leaves out its plugin 'openai'"
    )
    assert target.endswith("'openai/gpt-5.5' can never be tried: [providers.openai] cannot be used")


def test_a_kind_whose_plugin_is_broken_says_so(tmp_path: Path, logged: list[Any]) -> None:
    from importlib.metadata import EntryPoint

    point = EntryPoint("fancy", "no_such_module_at_all", "maestro_daemon")
    path = tmp_path / "maestro.toml"
    path.write_text('[providers.a]\nkind = "fancy"\n')
    with pytest.raises(ConfigInvalid, match="its plugin 'fancy' is broken: ModuleNotFoundError"):
        load(path, Registry(lambda: [point]), environ={})


async def test_loading_works_off_the_loop(toml: Callable[..., Config]) -> None:
    config = await asyncio.to_thread(toml, FAKE)
    assert list(config.providers) == ["home"]
