"""Answers as they come over a wire: their bodies unread and unpacked by nobody."""

import httpx


def streamed(body: bytes, *, encoding: str = "identity") -> httpx.Response:
    """Return the answer 200 with this body, and say that it is encoded so."""
    return httpx.Response(200, headers={"Content-Encoding": encoding}, stream=httpx.ByteStream(body))
