"""Clients of one's own node, blocking and awaited: `groups` says what can be asked, `core` how, this file sends it.

Source: API (Python SDK).
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Self, TypeVar

import httpx

from tallystick.core import (
    DEADLINE_S,
    RETRIES_MAX,
    TIMEOUT_S,
    Answer,
    Call,
    Core,
    Exchange,
    HttpRequest,
    Incoming,
    RandomBytes,
    Verify,
)
from tallystick.descriptor import Descriptor
from tallystick.errors import ReplyForged
from tallystick.groups import AsyncGroups, Groups
from tallystick.tls import tls_context

_T = TypeVar("_T")


class Client(Groups):
    """A company's own node, as its apps call it; every reply is verified.

    Attributes:
        links, receipts, standings, acts, desk, events, programs, claims, rewards, decisions, subjects, proofs:
            what can be asked.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str,
        fingerprint: str | None = None,
        descriptor: Descriptor | None = None,
        verify: Verify = "strict",
        timeout_s: float = TIMEOUT_S,
        deadline_s: float = DEADLINE_S,
        retries_max: int = RETRIES_MAX,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic_s: Callable[[], float] = time.monotonic,
        random_bytes: RandomBytes = secrets.token_bytes,
    ) -> None:
        """Call the node at `url`; nothing is sent yet.

        Args:
            url: where the node is reached, without `/v1`.
            key: the app's key.
            fingerprint: SHA-256 of the node's identity key in hex, as its operator tells it by another way; the
                descriptor is fetched and checked against it once, before the first call.
            descriptor: the node's, where the app has it already.
            verify: `off` believes the node unchecked, and is for those who verify elsewhere.
            timeout_s: how long a connection, and then each read, may take.
            deadline_s: how long one call may take in all, its retries and waits included.
            retries_max: how often a call is sent again.
            transport: carries requests, for mutual TLS, proxies or tests; closed with the client.
            sleep: waits between attempts.
            monotonic_s: a clock that is never set back.
            random_bytes: the system's CSPRNG.

        Raises:
            BadInput: the address or the key is not one.
            NodeUnidentified: replies are to be verified, and there is neither fingerprint nor descriptor.
        """
        super().__init__(self._run, random_bytes=random_bytes)
        self._core = Core(
            url,
            key=key,
            fingerprint=fingerprint,
            descriptor=descriptor,
            verify=verify,
            retries_max=retries_max,
            random_bytes=random_bytes,
        )
        self._timeout_s, self._deadline_s = timeout_s, deadline_s
        self._sleep, self._monotonic_s = sleep, monotonic_s
        self._http = httpx.Client(transport=transport, follow_redirects=False, verify=tls_context())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        """Return the client, to be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def _run(self, call: Call[_T], /) -> _T:
        until_s = self._monotonic_s() + self._deadline_s
        identify = self._core.identify()
        if identify is not None:
            self._core.trust(self._exchange(identify, until_s))
        return self._exchange(call, until_s)

    def _exchange(self, call: Call[_T], until_s: float) -> _T:
        exchange = self._core.begin(call)
        while True:
            answer = self._send(exchange.request, until_s)
            pause_s = exchange.pause(answer, left_s=until_s - self._monotonic_s())
            if pause_s is None:
                return self._read(exchange, answer, until_s)
            self._sleep(pause_s)

    def _read(self, exchange: Exchange[_T], answer: Answer | Exception, until_s: float) -> _T:
        try:
            return exchange.read(answer)
        except ReplyForged as error:
            identify = self._core.identify_anew(error, exchange)
            if identify is None or not self._core.trust_newer(self._exchange(identify, until_s), exchange):
                raise
            return exchange.read(answer)

    def _send(self, request: HttpRequest, until_s: float) -> Answer | Exception:
        """Return what came, or the error for which nothing did."""
        timeout_s = min(self._timeout_s, until_s - self._monotonic_s())
        if timeout_s <= 0:
            return TimeoutError("no time is left for this call")
        try:
            with self._http.stream(
                request.method, request.url, headers=request.headers, content=request.body, timeout=timeout_s
            ) as response:
                incoming = Incoming(response.headers, size_max_bytes=request.reply_size_max_bytes)
                for chunk in response.iter_bytes():
                    incoming.add(chunk)
                    if self._monotonic_s() > until_s:
                        return TimeoutError("the answer came too slowly")
                return Answer(response.status_code, response.headers, incoming.body())
        except httpx.TransportError as error:
            return error


class AsyncClient(AsyncGroups):
    """As `Client`, with every call awaited.

    Attributes:
        links, receipts, standings, acts, desk, events, programs, claims, rewards, decisions, subjects, proofs:
            what can be asked.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str,
        fingerprint: str | None = None,
        descriptor: Descriptor | None = None,
        verify: Verify = "strict",
        timeout_s: float = TIMEOUT_S,
        deadline_s: float = DEADLINE_S,
        retries_max: int = RETRIES_MAX,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Coroutine[object, object, None]] = asyncio.sleep,
        monotonic_s: Callable[[], float] = time.monotonic,
        random_bytes: RandomBytes = secrets.token_bytes,
    ) -> None:
        """Call the node at `url`; nothing is sent yet. Arguments and errors are those of `Client`."""
        super().__init__(self._run, random_bytes=random_bytes)
        self._core = Core(
            url,
            key=key,
            fingerprint=fingerprint,
            descriptor=descriptor,
            verify=verify,
            retries_max=retries_max,
            random_bytes=random_bytes,
        )
        self._timeout_s, self._deadline_s = timeout_s, deadline_s
        self._sleep, self._monotonic_s = sleep, monotonic_s
        self._http = httpx.AsyncClient(transport=transport, follow_redirects=False, verify=tls_context())

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        """Return the client, to be closed at the end of the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.close()

    async def _run(self, call: Call[_T], /) -> _T:
        until_s = self._monotonic_s() + self._deadline_s
        identify = self._core.identify()
        if identify is not None:
            self._core.trust(await self._exchange(identify, until_s))
        return await self._exchange(call, until_s)

    async def _exchange(self, call: Call[_T], until_s: float) -> _T:
        exchange = self._core.begin(call)
        while True:
            answer = await self._send(exchange.request, until_s)
            pause_s = exchange.pause(answer, left_s=until_s - self._monotonic_s())
            if pause_s is None:
                return await self._read(exchange, answer, until_s)
            await self._sleep(pause_s)

    async def _read(self, exchange: Exchange[_T], answer: Answer | Exception, until_s: float) -> _T:
        try:
            return exchange.read(answer)
        except ReplyForged as error:
            identify = self._core.identify_anew(error, exchange)
            if identify is None or not self._core.trust_newer(await self._exchange(identify, until_s), exchange):
                raise
            return exchange.read(answer)

    async def _send(self, request: HttpRequest, until_s: float) -> Answer | Exception:
        """Return what came, or the error for which nothing did."""
        left_s = until_s - self._monotonic_s()
        if left_s <= 0:
            return TimeoutError("no time is left for this call")
        timeout_s = min(self._timeout_s, left_s)
        try:
            async with (
                asyncio.timeout(left_s),
                self._http.stream(
                    request.method, request.url, headers=request.headers, content=request.body, timeout=timeout_s
                ) as response,
            ):
                incoming = Incoming(response.headers, size_max_bytes=request.reply_size_max_bytes)
                async for chunk in response.aiter_bytes():
                    incoming.add(chunk)
                return Answer(response.status_code, response.headers, incoming.body())
        except (httpx.TransportError, TimeoutError) as error:
            return error
