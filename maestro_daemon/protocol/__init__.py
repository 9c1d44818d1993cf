"""Sans-IO: bytes and objects in, bytes and objects out. No asyncio, no aiohttp, no clock but the caller's."""
