"""Answers of hosts that may be slow or hostile, read piece by piece, so that whoever reads them can stop at a bound.

A timeout is one of each read, and a host that sends a header byte a second keeps within it for days. So `client` makes
clients that look at the time that `until` left at each read, write and connection, headers and TLS included.

Where an answer may be compressed at all it is with gzip, once, and unpacked no further than it is read: what a few
hundred bytes unpack to has no bound of its own.

Source: DESIGN P13 and P15 (every wait and every answer has a bound).
"""

import socket
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.request import getproxies

import httpcore
import httpx

from tallystick.reaching import MayReach, reachable
from tallystick.tls import tls_context

PLAIN = {"Accept-Encoding": "identity"}
"""The header of every request whose answer is read here."""


PIECE_SIZE_MAX_BYTES = 64 * 1024
"""How much is unpacked at once."""

SENT_AT_ONCE_MAX_BYTES = 16 * 1024

_LEFT_S: ContextVar[Callable[[], float] | None] = ContextVar("left_s", default=None)
"""Seconds that are left of what is under way; None where that has no bound."""


@contextmanager
def until(at_s: float, *, monotonic_s: Callable[[], float] = time.monotonic) -> Generator[None]:
    """Bound every exchange within: from `at_s` on, by `monotonic_s`, it fails with an `httpx.TimeoutException`.

    The headers are bounded where the client is one of `client`; bodies that `chunks_of` reads, with any.
    """
    token = _LEFT_S.set(lambda: at_s - monotonic_s())
    try:
        yield
    finally:
        _LEFT_S.reset(token)


def client(
    *, headers: Mapping[str, str] | None = None, trust_env: bool = False, may: MayReach | None = None
) -> httpx.Client:
    """Return a client that follows no redirect and heeds `until`.

    Args:
        headers: of every request.
        trust_env: whether a proxy that the environment names is used; how long that may take for the headers of an
            answer is then bounded for each read alone.
        may: which addresses may be connected to, where not all; then no proxy is used.
    """
    if trust_env and may is None and getproxies():
        return httpx.Client(headers=headers, follow_redirects=False, verify=tls_context())
    return httpx.Client(transport=_Transport(may), headers=headers, follow_redirects=False, trust_env=False)


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
    yield from _raw(answer)


def _raw(answer: httpx.Response) -> Iterator[bytes]:
    for chunk in answer.iter_raw():
        if _left(None) == 0:
            raise httpx.ReadTimeout("An answer does not come to its end in time.", request=answer.request)
        yield chunk


def _unpacked(answer: httpx.Response) -> Iterator[bytes]:
    unpacking = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        for chunk in _raw(answer):
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
    return str(answer.headers.get("content-encoding", "identity")).lower()


def _require_plain(answer: httpx.Response) -> None:
    if _encoding(answer) != "identity":
        raise httpx.DecodingError("An answer is compressed, and nobody asked for that.", request=answer.request)


def _left(timeout_s: float | None) -> float | None:
    """Return how many seconds a step may take: what is left, and no more than its own timeout."""
    left_s = _LEFT_S.get()
    if left_s is None:
        return timeout_s
    left = max(0.0, left_s())
    return left if timeout_s is None else min(left, timeout_s)


def _require_left(late: type[Exception]) -> None:
    if _left(None) == 0:
        raise late("Nothing is left of the time that this exchange may take.")


class _Transport(httpx.HTTPTransport):
    """HTTP over connections that heed `until`."""

    def __init__(self, may: MayReach | None) -> None:
        super().__init__(verify=tls_context())
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls_context(),
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=Backend(may),
        )


class Backend(httpcore.NetworkBackend):
    """Opens connections within the time that is left, to addresses that may be reached."""

    def __init__(self, may: MayReach | None) -> None:
        """Connect only where `may` lets it; None: anywhere."""
        self._may = may
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to one of the first addresses of a name that may be reached.

        Raises:
            AddressRefused: there are only others.
            httpcore.ConnectError, httpcore.ConnectTimeout: there is none, or none answers in time.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(str(error)) from error
        refused: Exception = httpcore.ConnectError("A name has no address.")
        for address in reachable(host, found, self._may):
            _require_left(httpcore.ConnectTimeout)
            try:
                return _Stream(self._plain.connect_tcp(address, port, _left(timeout), local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                refused = error
        raise refused


class _Stream(httpcore.NetworkStream):
    """A connection each step of which takes no longer than is left."""

    def __init__(self, plain: httpcore.NetworkStream) -> None:
        self._plain = plain

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read; what came too late is not looked at."""
        _require_left(httpcore.ReadTimeout)
        received = self._plain.read(max_bytes, _left(timeout))
        _require_left(httpcore.ReadTimeout)
        return received

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write, a piece at a time."""
        for begin in range(0, len(buffer), SENT_AT_ONCE_MAX_BYTES):
            _require_left(httpcore.WriteTimeout)
            self._plain.write(buffer[begin : begin + SENT_AT_ONCE_MAX_BYTES], _left(timeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Go on under TLS."""
        _require_left(httpcore.ConnectTimeout)
        return _Stream(self._plain.start_tls(ssl_context, server_hostname, _left(timeout)))

    def close(self) -> None:
        """Close the connection."""
        self._plain.close()

    def get_extra_info(self, info: str) -> Any:
        """Return what the plain connection says of itself."""
        return self._plain.get_extra_info(info)
