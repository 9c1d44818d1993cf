"""Where the daemon listens."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import trustme

from tests.support import native
from tests.support.fake_upstream import FakeUpstream, Reply
from tests.support.standing import SERVER, provider, standing

WHOLE = Reply(native.response("resp_1", "completed", [native.message("Hello")]))


async def test_a_renewed_certificate_is_shown_to_new_connections(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    upstream.play(WHOLE)
    authority = trustme.CA()

    def renew(name: str) -> None:
        issued = authority.issue_cert("localhost", common_name=name)
        issued.private_key_pem.write_to_path(tmp_path / "tls.key")
        (tmp_path / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))

    async def shown(port: int) -> str:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )
        certificate = writer.get_extra_info("peercert")
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()
        return {key: value for entry in certificate["subject"] for key, value in entry}["commonName"]

    await asyncio.to_thread(renew, "first")
    text = SERVER + '[server.tls]\ncert = "tls.crt"\nkey = "tls.key"\n' + provider("one", upstream.url)
    async with standing(tmp_path, text) as daemon:
        port = int(daemon.url.removesuffix("/v1").rpartition(":")[2])
        assert await shown(port) == "first"
        await asyncio.to_thread(renew, "second")
        assert await shown(port) == "first"
        assert (await daemon.reload())["changed"] == []
        assert await shown(port) == "second"
        await asyncio.to_thread(renew, "third")
        await daemon.reload()
        assert await shown(port) == "third"
        plain = SERVER + provider("one", upstream.url)
        assert (await daemon.reload(plain))["restart"] == ["server.tls"]
        assert daemon.url.startswith("https://")
        assert await shown(port) == "third"
