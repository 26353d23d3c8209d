"""A partner's name leads where its holder says; a connection goes only where it may, whatever the name says next."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpcore
import httpx
import pytest
from hosts import Host, Watch, dripping

from tallystick.bounded import client
from tallystick.reaching import ADDRESSES_MAX, AddressRefused, AsyncTransport, MayReach, is_public, may_reach

Fetch = Callable[[str, MayReach | None], httpx.Response]


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::"]
)
def test_a_public_address_may_be_reached(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",  # noqa: S104
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "224.0.0.251",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "::8.8.8.8",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "64:ff9b::10.0.0.1",
        "2002:7f00:1::",
        "a name",
    ],
)
def test_one_of_this_machine_or_of_a_private_network_may_not(address: str) -> None:
    assert not is_public(address)


def test_a_setting_lets_one_network_in_and_no_other() -> None:
    may = may_reach(["10.20.0.0/16", "fd00:1::/32"])
    allowed = [may(each) for each in ("10.20.3.4", "10.21.3.4", "fd00:1::7", "fd00:2::7", "8.8.8.8", "127.0.0.1")]
    assert allowed == [True, False, True, False, True, False]


# Over sockets


def blocking(url: str, may: MayReach | None) -> httpx.Response:
    with client(may=may) as http:
        return http.get(url)


def awaited(url: str, may: MayReach | None) -> httpx.Response:
    async def fetch() -> httpx.Response:
        async with httpx.AsyncClient(transport=AsyncTransport(may, connections_max=1), trust_env=False) as http:
            return await http.get(url)

    return asyncio.run(fetch())


@pytest.fixture(params=[blocking, awaited])
def fetch(request: pytest.FixtureRequest) -> Fetch:
    found: Fetch = request.param
    return found


@pytest.fixture
def partner() -> Iterator[Host]:
    """Somebody's server on this machine."""
    with Host() as made:
        made.shown = b"a secret of this machine"
        yield made


class Names:
    """A name server that a partner runs: it says what the partner lets it say, another thing each time."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        self.asked.append(host)
        numbers = self.answers.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in numbers]


def answering(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> Names:
    names, before = Names(*answers), socket.getaddrinfo

    def look_up(host: Any, *more: Any, **named: Any) -> Any:
        told = host.decode() if isinstance(host, bytes) else host
        return names(told, *more, **named) if told == "partner.example" else before(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return names


def at_partner(url: str) -> str:
    return url.replace("127.0.0.1", "partner.example")


def loopback(address: str) -> bool:
    return address == "127.0.0.1"


def test_a_name_that_leads_to_this_machine_is_not_connected_to(
    monkeypatch: pytest.MonkeyPatch, fetch: Fetch, partner: Host
) -> None:
    answering(monkeypatch, ["127.0.0.1"], ["127.0.0.1"])
    with pytest.raises(httpx.ConnectError) as refused:
        fetch(at_partner(partner.url), is_public)
    assert isinstance(refused.value.__cause__, AddressRefused)
    assert fetch(at_partner(partner.url), loopback).content == partner.shown


@pytest.mark.parametrize("number", ["127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"])
def test_a_number_in_place_of_a_name_is_looked_at_as_well(fetch: Fetch, partner: Host, number: str) -> None:
    with pytest.raises(httpx.ConnectError) as refused:
        fetch(partner.url.replace("127.0.0.1", number), is_public)
    assert isinstance(refused.value.__cause__, AddressRefused)


def test_the_connection_goes_to_the_address_that_was_looked_at(
    monkeypatch: pytest.MonkeyPatch, fetch: Fetch, partner: Host
) -> None:
    """The name is asked for once: what it would say the second time reaches nobody."""
    names = answering(monkeypatch, ["127.0.0.1"])
    assert fetch(at_partner(partner.url), loopback).content == partner.shown
    assert names.asked == ["partner.example"]


def test_of_several_addresses_only_one_that_may_be_reached_is_tried(
    monkeypatch: pytest.MonkeyPatch, fetch: Fetch, partner: Host
) -> None:
    tried: list[str] = []

    def may(address: str) -> bool:
        tried.append(address)
        return address == "127.0.0.1"

    answering(monkeypatch, [*(f"127.0.0.{each}" for each in range(2, 2 + ADDRESSES_MAX)), "127.0.0.1"])
    assert fetch(at_partner(partner.url), may).content == partner.shown
    assert len(tried) == ADDRESSES_MAX + 1


def test_a_name_without_an_address_is_no_connection(monkeypatch: pytest.MonkeyPatch, fetch: Fetch) -> None:
    answering(monkeypatch, [])
    with pytest.raises(httpx.ConnectError) as refused:
        fetch("http://partner.example", is_public)
    assert not isinstance(refused.value.__cause__, AddressRefused)


def test_a_redirect_is_no_way_around_it(partner: Host) -> None:
    """None is followed; were one, it would be looked at like every other connection."""
    elsewhere = partner.url.replace("127.0.0.1", "127.0.0.2")
    redirect = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    with dripping(Watch(), begins=redirect, ends=b"") as url, client(may=loopback) as http:
        assert http.get(url).status_code == 302
        with pytest.raises(httpx.ConnectError) as refused:
            http.get(url, follow_redirects=True)
    assert isinstance(refused.value.__cause__, AddressRefused)


def test_a_name_that_is_never_told_holds_up_nothing_else(monkeypatch: pytest.MonkeyPatch, partner: Host) -> None:
    """However many connections wait for it: other names are looked up, also by who gave up waiting for that one, and
    the process's own threads, in which a node reads its database, are free."""
    told = threading.Event()
    asked: list[str] = []
    before = socket.getaddrinfo

    def look_up(host: Any, *more: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        asked.append(name)
        if name == "silent.example":
            told.wait()
        return before("127.0.0.1" if name == "partner.example" else name, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    async def ask() -> tuple[str, bytes]:
        transport = AsyncTransport(loopback, connections_max=100)
        async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=60) as http:
            with pytest.raises(httpx.ConnectTimeout):
                await http.get("http://silent.example", timeout=0.01)
            silent = [asyncio.create_task(http.get("http://silent.example")) for _ in range(40)]
            await asyncio.sleep(0)
            try:
                free = await asyncio.wait_for(asyncio.to_thread(str, "the database answers"), 30)
                return free, (await asyncio.wait_for(http.get(at_partner(partner.url)), 30)).content
            finally:
                told.set()
                for each in silent:
                    each.cancel()
                await asyncio.gather(*silent, return_exceptions=True)

    assert asyncio.run(ask()) == ("the database answers", partner.shown)
    assert asked.count("silent.example") == 1


def test_a_dead_address_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch, partner: Host) -> None:
    """Each address has its part of the time: here the first says nothing, and the second is reached."""
    given: list[float | None] = []

    class Silent(httpcore.AnyIOBackend):
        async def connect_tcp(self, host: str, port: int, timeout: float | None = None, *more: Any) -> Any:  # noqa: ASYNC109
            given.append(timeout)
            if host == "127.0.0.2":
                raise httpcore.ConnectTimeout("silent")
            return await super().connect_tcp(host, port, timeout, *more)

    monkeypatch.setattr(httpcore, "AnyIOBackend", Silent)
    answering(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    assert awaited(at_partner(partner.url), None).content == partner.shown
    assert given[0] is not None
    assert given[0] <= 2.5, "half of the five seconds that httpx gives"
