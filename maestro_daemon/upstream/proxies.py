"""The proxy that the environment names for an upstream."""

from __future__ import annotations

import ipaddress
import urllib.request

from yarl import URL

from maestro_daemon.errors import ProviderUnavailable


def proxy_for(url: URL) -> URL | None:
    """The proxy for `url` of ``https_proxy``, ``http_proxy`` or ``all_proxy``, upper case too; None for none.

    ``no_proxy`` is heeded, and what is on this machine is never reached by a proxy. aiohttp's
    own `trust_env` is left off: it reads netrc on each request, and captures loopback too. Raises
    `ProviderUnavailable` for a proxy that cannot be used; its message holds no password.
    """
    if url.host is None or _is_loopback(url.host) or urllib.request.proxy_bypass(url.host):
        return None
    named = urllib.request.getproxies()
    said = named.get(url.scheme) or named.get("all")
    if not said:
        return None
    try:
        proxy = URL(said if "://" in said else f"http://{said}")
    except ValueError:
        proxy = URL()
    if not proxy.host:
        raise ProviderUnavailable(
            f"The proxy that the environment names for {url.scheme}:// is no URL like http://host:port."
        )
    if proxy.scheme not in ("http", "https"):
        raise ProviderUnavailable(
            f"The proxy that the environment names for {url.scheme}:// is a {proxy.scheme}:// one; "
            "http:// and https:// can be used."
        )
    return proxy


def _is_loopback(host: str) -> bool:
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
