"""Where GitHub and Copilot are for one provider, and which host an answer may send us to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from maestro_copilot.options import CopilotOptions

_COPILOT: Final = "githubcopilot.com"
_HOST: Final = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
"""What a host name of GitHub's looks like: others are read in more than one way by what they pass through."""


@dataclass(frozen=True, slots=True)
class Hosts:
    """Base URLs without a trailing slash: `github` (login), `api` (GitHub's API), `copilot`.

    `fixed` says that the operator chose `copilot`. `trusted` are the domains below which an answer may
    place Copilot's API.
    """

    github: str
    api: str
    copilot: str
    fixed: bool
    trusted: tuple[str, ...]

    @classmethod
    def of(cls, options: CopilotOptions) -> Hosts:
        """The hosts that the configuration says: its URLs, else those of its domain, else github.com's."""
        domain = options.domain if options.domain != "github.com" else None
        return cls(
            github=options.github_url or f"https://{domain or 'github.com'}",
            api=options.github_api_url or f"https://api.{domain or 'github.com'}",
            copilot=options.base_url
            or (f"https://copilot-api.{domain}" if domain is not None else f"https://api.{_COPILOT}"),
            fixed=options.base_url is not None,
            trusted=(_COPILOT,) if domain is None else (_COPILOT, domain),
        )

    def accepts(self, endpoint: str) -> bool:
        """Whether bearers may be sent to `endpoint`, a URL that stood in an answer.

        Only https, without port, user or query, on a trusted domain or below one.
        """
        if not endpoint.isascii() or not endpoint.isprintable() or "\\" in endpoint or " " in endpoint:
            return False
        try:
            parts = urlsplit(endpoint)
            port = parts.port
        except ValueError:
            return False
        host = (parts.hostname or "").removesuffix(".")
        plain = parts.scheme == "https" and "@" not in parts.netloc and port in (None, 443)
        bare = not parts.query and not parts.fragment and endpoint[-1] not in "?#"
        named = _HOST.fullmatch(host) is not None
        trusted = any(host == each or host.endswith(f".{each}") for each in self.trusted)
        return plain and bare and named and trusted

    @property
    def page(self) -> str:
        """The host of the login page, which says to which GitHub a token belongs."""
        return urlsplit(self.github).netloc.lower()
