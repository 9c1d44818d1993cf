"""What has come of a request's body, taken out of aiohttp's buffer at one go.

aiohttp takes it out a read at a time, and after each asks the connection to read on and its parser whether it
has anything left; unless reading was paused there is nothing to ask for. That needs to know how aiohttp keeps
a body: this is the one place that does.
"""

from __future__ import annotations

import aiohttp


def arrived(content: aiohttp.StreamReader) -> bytes | None:
    """All that has come and was not read yet.

    None where aiohttp has to be asked in its own way: nothing is there, reading failed, or it was paused
    since too much was there.
    """
    buffer = getattr(content, "_buffer", None)  # a body that is known to be empty has none
    if (
        not buffer
        or content._buffer_offset
        or content.exception() is not None
        or content._protocol._reading_paused
    ):
        return None
    data: bytes
    if len(buffer) == 1:
        data = buffer.popleft()
    else:
        data = b"".join(buffer)
        buffer.clear()
    content._size -= len(data)
    content._cursor += len(data)
    if content._http_chunk_splits:
        content._http_chunk_splits.clear()
    return data
