"""Nobody is held up: what a host sends late, headers included, is not waited for, whoever asks."""

from collections.abc import Callable, Iterator

import httpx
import pytest
from hosts import Host, Watch, dripping
from logs import log_signers
from signers import WITNESS

from tallystick.audit.keys import keys_of_policy
from tallystick.audit.source import AuditNotRun, WebSource
from tallystick.audit.views.witnesses import ask_witnesses
from tallystick.bounded import client
from tallystick.errors import NodeUnreachable
from tallystick.following import LogSite
from tallystick_ledger.tlog.policy import parse_policy
from tallystick_node.exchange import exchange

ORIGIN = "gym.example/log/2027"
LOG = "".join(f"log {signer.verifier_key.text}\n" for signer in log_signers(ORIGIN))

Ask = Callable[[httpx.Client, str, Watch], object]


def a_node(http: httpx.Client, url: str, watch: Watch) -> object:
    return exchange(http, "POST", url, b"a head", monotonic_s=watch)


def a_follower(http: httpx.Client, url: str, watch: Watch) -> object:
    try:
        return LogSite(url, http=http, monotonic_s=watch).checkpoint()
    except NodeUnreachable:
        return None


def an_auditor(http: httpx.Client, url: str, watch: Watch) -> object:
    keys = keys_of_policy(parse_policy(f"{LOG}quorum none\n".encode()), source="the policy")
    try:
        return WebSource(url, keys, http=http, monotonic_s=watch).read("checkpoint", size_max_bytes=1_000)
    except AuditNotRun:
        return None


def an_auditor_of_a_witness(http: httpx.Client, url: str, watch: Watch) -> object:
    policy = f"{LOG}witness w {WITNESS.verifier_key.text} {url}\nquorum none\n"
    keys = keys_of_policy(parse_policy(policy.encode()), source="the policy")
    _, (said,) = ask_witnesses(keys, ORIGIN, http, monotonic_s=watch)
    return None if "cannot be reached" in said else said


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with client() as made:
        yield made


@pytest.mark.parametrize("ask", [a_node, a_follower, an_auditor, an_auditor_of_a_witness])
@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"a\r\nContent-Length: 4\r\n\r\nbody"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nb", b"ody"),
    ],
    ids=["headers", "body"],
)
def test_what_comes_late_is_not_waited_for(ask: Ask, begins: bytes, ends: bytes, http: httpx.Client) -> None:
    watch = Watch()
    with dripping(watch, begins=begins, ends=ends) as url:
        assert ask(http, url, watch) is None
    watch = Watch()
    with dripping(Watch(), begins=begins, ends=ends) as url:
        assert ask(http, url, watch) is not None, "in time it is heard"


def test_whoever_was_left_takes_no_place_of_others(http: httpx.Client) -> None:
    watch = Watch()
    with dripping(watch, begins=b"HTTP/1.1 200 OK\r\nX: ", ends=b"a") as url, Host() as honest:
        for _ in range(101):  # one more than a client has connections
            assert exchange(http, "GET", url, monotonic_s=watch) is None
        assert exchange(http, "GET", honest.url) is not None
