"""Which addresses may be connected to, where the name of a host is somebody else's to choose.

A partner says itself where its node is, and whoever holds its name says to which address that leads: today the
partner's own, tomorrow a database of ours behind the firewall. So a name is looked up once for each connection, the
addresses that may not be reached are put aside, and the connection goes to one of those that were looked at, by its
number: there is no second look-up that could say something else. A redirect that leads there is no way around it.

Source: API section 5 (private address ranges are blocked: SSRF), IANA's special-purpose address registries (RFC 6890).
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias, cast

import httpcore
import httpx

from tallystick.tls import tls_context

ADDRESSES_MAX = 4
"""How many addresses of one name are tried."""

LOOKED_UP_AT_ONCE_MAX = 16
"""How many names are looked up at one time, each once: so many whose servers never answer hold up the others."""

MayReach: TypeAlias = Callable[[str], bool]
"""Takes an address as a number, says whether it may be connected to."""

Found: TypeAlias = Sequence[tuple[Any, Any, Any, str, tuple[Any, ...]]]
"""What `getaddrinfo` returns."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""Whose last 32 bits are the IPv4 address that a gateway passes on to (RFC 6052)."""

_IPV4_COMPATIBLE = ipaddress.IPv6Network("::/96")
"""The same of old; nothing leads there any more (RFC 4291 section 2.5.5.1)."""


class AddressRefused(httpcore.ConnectError):
    """A name leads only to addresses that may not be reached."""


def is_public(address: str) -> bool:
    """Return whether an address is one of the public network's: not this machine's, nor a private network's, nor of
    a kind that no single host has. An IPv6 address that stands for one of IPv4 is as public as that is."""
    try:
        number = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(number, ipaddress.IPv6Address):
        within = _embedded(number)
        if within is not None:
            return is_public(str(within))
        if number.is_site_local or number in _IPV4_COMPATIBLE:
            return False
    return number.is_global and not number.is_multicast and not number.is_reserved


def may_reach(networks: Iterable[str]) -> MayReach:
    """Return what lets public addresses pass, and those of some networks that are not.

    Args:
        networks: such as `10.20.0.0/16`.

    Raises:
        ValueError: one is none.
    """
    ours = [ipaddress.ip_network(each) for each in networks]
    return lambda address: is_public(address) or any(ipaddress.ip_address(address) in each for each in ours)


def reachable(host: str, found: Found, may: MayReach | None) -> list[str]:
    """Return the first addresses of a name that may be connected to.

    Raises:
        AddressRefused: it has addresses, and may be reached at none of them.
        httpcore.ConnectError: it has none.
    """
    numbers = list(dict.fromkeys(str(each[4][0]) for each in found))
    if not numbers:
        raise httpcore.ConnectError("A name has no address.")
    allowed = [each for each in numbers if may is None or may(each)]
    if not allowed:
        raise AddressRefused(f"The name {host} leads to an address that may not be reached from here.")
    return allowed[:ADDRESSES_MAX]


class AsyncTransport(httpx.AsyncHTTPTransport):
    """HTTP in an event loop, over connections to addresses that may be reached."""

    def __init__(self, may: MayReach | None, *, connections_max: int) -> None:
        """Connect only where `may` lets it; None: anywhere."""
        super().__init__(verify=tls_context(), trust_env=False)
        self._backend = AsyncBackend(may)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls_context(),
            max_connections=connections_max,
            keepalive_expiry=5.0,
            network_backend=self._backend,
        )

    async def aclose(self) -> None:
        """Close the connections, and look up nothing more."""
        await super().aclose()
        self._backend.close()


class AsyncBackend(httpcore.AsyncNetworkBackend):
    """Opens connections to addresses that may be reached."""

    def __init__(self, may: MayReach | None) -> None:
        """Connect only where `may` lets it; None: anywhere."""
        self._may = may
        # Of their own: a name whose servers never answer holds its thread for long, and no other work of the process.
        self._looking_up = ThreadPoolExecutor(LOOKED_UP_AT_ONCE_MAX, thread_name_prefix="names")
        self._asked: dict[str, Future[Found]] = {}
        # httpcore writes this class twice, for where anyio is missing, which no type checker follows.
        self._plain = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    def close(self) -> None:
        """Look up nothing more; what is under way ends by itself."""
        self._looking_up.shutdown(wait=False, cancel_futures=True)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore calls it so
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to one of the first addresses of a name that may be reached.

        Raises:
            AddressRefused: there are only others.
            httpcore.ConnectError, httpcore.ConnectTimeout: there is none, or none answers in time.
        """
        clock = asyncio.get_running_loop().time
        until_s = None if timeout is None else clock() + timeout
        numbers = reachable(host, await self._look_up(host, port, timeout), self._may)
        refused: Exception = httpcore.ConnectError("A name has no address.")
        for tried, number in enumerate(numbers):
            # Each gets an equal part of what is left, so that a dead one leaves time for the others.
            part_s = None if until_s is None else max(0.0, until_s - clock()) / (len(numbers) - tried)
            try:
                return await self._plain.connect_tcp(number, port, part_s, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                refused = error
        raise refused

    async def sleep(self, seconds: float) -> None:
        """Wait before a connection is tried again."""
        await self._plain.sleep(seconds)

    async def _look_up(self, host: str, port: int, timeout_s: float | None) -> Found:
        try:
            async with asyncio.timeout(timeout_s):
                # Who gives up waiting takes the answer from nobody else who waits for it.
                return await asyncio.shield(asyncio.wrap_future(self._ask(host, port)))
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("A name was not looked up in time.") from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(str(error)) from error

    def _ask(self, host: str, port: int) -> "Future[Found]":
        """Return the look-up of a name that is under way, or begin one: so a name takes one thread at most, whatever
        number of connections wait for it."""
        asked = self._asked.get(host)
        if asked is None:
            asked = self._looking_up.submit(_addresses_of, host, port)
            self._asked[host] = asked
            asked.add_done_callback(lambda _: self._asked.pop(host, None))
        return asked


def _addresses_of(host: str, port: int) -> Found:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _embedded(number: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that one of IPv6 stands for, None where it stands for none."""
    if number.ipv4_mapped is not None:
        return number.ipv4_mapped
    if number.sixtofour is not None:
        return number.sixtofour
    if number in _NAT64:
        return ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)
    return None
