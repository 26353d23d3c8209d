"""Answers of hosts that may be slow or hostile, read piece by piece, so that whoever reads them can stop at a bound.

Where an answer may be compressed at all it is with gzip, once, and unpacked no further than it is read: what a few
hundred bytes unpack to has no bound of its own.

Source: DESIGN P13 and P15 (every wait and every answer has a bound).
"""

import zlib
from collections.abc import AsyncIterator, Iterator

import httpx

PLAIN = {"Accept-Encoding": "identity"}
"""The header of every request whose answer is read here."""


PIECE_SIZE_MAX_BYTES = 64 * 1024
"""How much is unpacked at once."""


def chunks_of(answer: httpx.Response, *, may_be_gzip: bool = False) -> Iterator[bytes]:
    """Yield the body of an answer piece by piece.

    Args:
        answer: a streamed one.
        may_be_gzip: whether it may be compressed with gzip although nobody asked for that, as files are that a host
            keeps compressed.

    Raises:
        httpx.DecodingError: it is compressed, and may not be, or otherwise.
        httpx.HTTPError: it does not come.
    """
    if may_be_gzip and _encoding(answer) == "gzip":
        yield from _unpacked(answer)
        return
    _require_plain(answer)
    yield from answer.iter_raw()


def _unpacked(answer: httpx.Response) -> Iterator[bytes]:
    unpacking = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        for chunk in answer.iter_raw():
            packed = chunk
            while packed:
                yield unpacking.decompress(packed, PIECE_SIZE_MAX_BYTES)
                packed = unpacking.unconsumed_tail
        yield unpacking.flush()
    except zlib.error as error:
        raise httpx.DecodingError("An answer is not compressed as it says.", request=answer.request) from error


async def achunks_of(answer: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the body of an answer as `chunks_of` does, in an event loop."""
    _require_plain(answer)
    async for chunk in answer.aiter_raw():
        yield chunk


def _encoding(answer: httpx.Response) -> str:
    return answer.headers.get("content-encoding", "identity").lower()


def _require_plain(answer: httpx.Response) -> None:
    if _encoding(answer) != "identity":
        raise httpx.DecodingError("An answer is compressed, and nobody asked for that.", request=answer.request)
