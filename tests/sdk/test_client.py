"""The two clients over httpx: they ask the same, wait and give up alike, and take nothing that is not an answer."""

import asyncio
import inspect
import pydoc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar

import httpx
import pytest
from sdk.stand_in import DESCRIPTOR, FINGERPRINT, LINK, PROGRAM, RECEIPT, SUBJECT, VISIT, GymNode, problem

import tallystick
from tallystick import AsyncClient, Client, Conflict, NodeUnidentified, NodeUnreachable, ReplyForged
from tallystick.calls import PAGES_MAX, DeskCalls, EventCalls, next_cursor
from tallystick.core import DEADLINE_S, REPLY_SIZE_MAX_BYTES, TIMEOUT_S, Answer
from tallystick.groups import AsyncGroup, Awaited, Blocking, Group
from tallystick.wire import Claims, Event, Served
from tallystick_consent.receipts.evidence import Evidence
from tallystick_ledger.errors import BadInput

T = TypeVar("T")
URL = "https://node.gym.example"
EVIDENCE = Evidence(grade="app_asserted", app="gym-app", login="aal2")
DOWN = Answer(503, {}, b"")


class App:
    """A company's app, blocking or not, and what it waited."""

    def __init__(self, node: GymNode, *, awaited: bool, transport: httpx.MockTransport | None = None) -> None:
        self.node = node
        self.awaited = awaited
        self.transport = transport or node.transport()
        self.slept_s: list[float] = []
        self.now_s = 0.0

    def sleep(self, wait_s: float) -> None:
        self.slept_s.append(wait_s)
        self.now_s += wait_s

    async def sleep_async(self, wait_s: float) -> None:
        self.sleep(wait_s)

    def do(self, ask: Callable[[Client], T], ask_async: Callable[[AsyncClient], Awaitable[T]], **settings: Any) -> T:
        """Ask by one of the two clients."""
        given: dict[str, Any] = {
            "key": "sk_test_1",
            "descriptor": DESCRIPTOR,
            "monotonic_s": lambda: self.now_s,
            **settings,
        }
        if not self.awaited:
            with Client(URL, transport=self.transport, sleep=self.sleep, **given) as client:
                return ask(client)

        async def asked() -> T:
            async with AsyncClient(URL, transport=self.transport, sleep=self.sleep_async, **given) as client:
                return await ask_async(client)

        return asyncio.run(asked())

    def record(self, **settings: Any) -> Event:
        """Record a visit."""
        return self.do(
            lambda client: client.events.record(subject=SUBJECT, type="visit.ended", data=VISIT),
            lambda client: client.events.record(subject=SUBJECT, type="visit.ended", data=VISIT),
            **settings,
        )

    def keys(self) -> list[str]:
        """The idempotency keys of the requests, in order."""
        return [headers["idempotency-key"] for _, _, headers, _ in self.node.said]


@pytest.fixture(params=[False, True], ids=["blocking", "awaited"])
def awaited(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def app(awaited: bool) -> App:
    return App(GymNode(), awaited=awaited)


def test_an_event_is_recorded(app: App) -> None:
    event = app.record()
    assert (event.type, event.receipt) == ("visit.ended", RECEIPT)
    assert [(method, path) for method, path, _, _ in app.node.said] == [("POST", "/v1/events")]


def test_a_lie_is_not_believed(app: App) -> None:
    app.node.lie = lambda reply: reply.update(proofs=[])
    with pytest.raises(ReplyForged):
        app.record()


def test_the_descriptor_is_fetched_once_before_the_first_call(app: App) -> None:
    async def twice(client: AsyncClient) -> None:
        await client.events.record(subject=SUBJECT, type="visit.ended", data=VISIT)
        await client.events.record(subject=SUBJECT, type="visit.ended", data=VISIT)

    def twice_blocking(client: Client) -> None:
        client.events.record(subject=SUBJECT, type="visit.ended", data=VISIT)
        client.events.record(subject=SUBJECT, type="visit.ended", data=VISIT)

    app.do(twice_blocking, twice, descriptor=None, fingerprint=FINGERPRINT)
    assert [path for _, path, _, _ in app.node.said] == ["/.well-known/tallystick", "/v1/events", "/v1/events"]


def test_nothing_is_sent_to_a_node_of_another_fingerprint(app: App) -> None:
    with pytest.raises(ReplyForged, match="fingerprint"):
        app.record(descriptor=None, fingerprint="0" * 64)
    assert [path for _, path, _, _ in app.node.said] == ["/.well-known/tallystick"]


def test_a_client_must_be_told_whose_node_it_calls(app: App) -> None:
    with pytest.raises(NodeUnidentified):
        app.record(descriptor=None)
    app.record(descriptor=None, verify="off")


def test_a_journey_reads_as_it_is_told() -> None:
    with Client(URL, key="sk_test_1", fingerprint=FINGERPRINT, transport=GymNode().transport()) as gym:
        offer = gym.links.offer(
            subject=SUBJECT, partner="insurer.example", program="walkers", hint="card ending 4", login="aal2"
        )
        assert gym.links.confirm(offer).state == "active"
        assert gym.programs.publish(PROGRAM).digest == gym.programs.accept("walkers", 1).digest
        assert gym.receipts.request(LINK).state == "requested"
        assert gym.receipts.give(RECEIPT, subject=SUBJECT, evidence=EVIDENCE).state == "given"
        assert gym.events.record(subject=SUBJECT, type="visit.ended", data=VISIT).receipt == RECEIPT
        assert gym.claims.ask(LINK, "2027-03").status == "accepted"
        assert gym.receipts.withdraw(RECEIPT, subject=SUBJECT).state == "withdrawn"
        assert gym.proofs.get(6).index == 6


# Asking again


def test_it_asks_three_times_in_all_under_one_key(app: App) -> None:
    app.node.trouble = [None, DOWN, None]
    with pytest.raises(NodeUnreachable):
        app.record()
    assert len(app.keys()) == 3
    assert len(set(app.keys())) == 1
    assert len(app.slept_s) == 2


def test_every_attempt_is_the_same_request(app: App) -> None:
    app.node.trouble = [None, problem(409, "in_flight")]
    app.record()
    first, *others = app.node.said
    assert others == [first, first]


def test_another_call_has_another_key(app: App) -> None:
    app.record()
    app.record()
    assert len(set(app.keys())) == 2


def test_it_does_not_ask_again_after_422(app: App) -> None:
    app.node.trouble = [problem(422, "idempotency_key_reused")]
    with pytest.raises(Conflict):
        app.record()
    assert (len(app.node.said), app.slept_s) == (1, [])


def test_it_does_not_ask_again_after_a_lie(app: App) -> None:
    app.node.lie = lambda reply: reply.update(proofs=[])
    with pytest.raises(ReplyForged):
        app.record()
    assert len(app.node.said) == 1


def test_it_waits_as_long_as_the_node_asks(app: App) -> None:
    app.node.trouble = [Answer(503, {"retry-after": "11"}, b""), problem(429, "rate_limited", retry_after=12)]
    app.record()
    assert app.slept_s == [11, 12]


def test_how_often_it_asks_again_can_be_told(app: App) -> None:
    app.node.trouble = [None]
    with pytest.raises(NodeUnreachable):
        app.record(retries_max=0)
    assert len(app.node.said) == 1


def test_the_descriptor_is_asked_for_again_too(app: App) -> None:
    app.node.trouble = [DOWN]
    app.record(descriptor=None, fingerprint=FINGERPRINT)
    assert len(app.node.said) == 3


def test_the_deadline_covers_waits_and_retries(app: App) -> None:
    app.node.trouble = [Answer(503, {"retry-after": "30"}, b""), Answer(503, {"retry-after": "30"}, b"")]
    with pytest.raises(NodeUnreachable):
        app.record()
    assert app.slept_s == [30]
    assert app.now_s + 30 >= DEADLINE_S


def test_nothing_is_sent_after_the_deadline(app: App) -> None:
    with pytest.raises(NodeUnreachable):
        app.record(deadline_s=0)
    assert app.node.said == []


def test_no_read_may_take_longer_than_what_is_left(awaited: bool) -> None:
    timeouts: list[float] = []

    def respond(request: httpx.Request) -> httpx.Response:
        timeouts.append(request.extensions["timeout"]["read"])
        raise httpx.ReadTimeout("slow", request=request)

    app = App(GymNode(), awaited=awaited, transport=httpx.MockTransport(respond))
    for deadline_s in (DEADLINE_S, 3):
        with pytest.raises(NodeUnreachable):
            app.record(deadline_s=deadline_s, retries_max=0)
    assert timeouts == [TIMEOUT_S, 3]


# What is not an answer


def answering(awaited: bool, response: Callable[[], httpx.Response]) -> App:
    """An app whose node answers anything at all."""
    node = GymNode()

    def respond(request: httpx.Request) -> httpx.Response:
        node.said.append((request.method, request.url.path, dict(request.headers.items()), request.content))
        return response()

    return App(node, awaited=awaited, transport=httpx.MockTransport(respond))


class Drip(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes a chunk at a time."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self.chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            await asyncio.sleep(0)
            yield chunk


def test_a_redirect_is_not_followed(awaited: bool) -> None:
    app = answering(awaited, lambda: httpx.Response(307, headers={"location": "https://elsewhere.example/v1/events"}))
    with pytest.raises(ReplyForged, match="redirect"):
        app.record()
    assert len(app.node.said) == 1


def test_an_endless_answer_is_refused_at_its_bound(awaited: bool) -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        while True:
            read += 65_536
            yield bytes(65_536)

    app = answering(awaited, lambda: httpx.Response(200, stream=Drip(endless())))
    with pytest.raises(ReplyForged, match="larger"):
        app.record()
    assert read == REPLY_SIZE_MAX_BYTES + 65_536


def test_a_compressed_answer_is_refused(awaited: bool) -> None:
    app = answering(
        awaited, lambda: httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Drip(iter([b"x"])))
    )
    with pytest.raises(ReplyForged, match="compressed"):
        app.record()


def test_an_answer_that_breaks_off_is_asked_for_again(awaited: bool) -> None:
    def broken() -> Iterator[bytes]:
        yield b"{"
        raise httpx.ReadError("reset")

    app = answering(awaited, lambda: httpx.Response(200, stream=Drip(broken())))
    with pytest.raises(NodeUnreachable):
        app.record()
    assert len(app.node.said) == 3


def test_an_answer_that_drips_beyond_the_deadline_is_given_up() -> None:
    app = answering(False, lambda: httpx.Response(200, stream=Drip(dripping())))

    def dripping() -> Iterator[bytes]:
        while True:
            app.now_s += 1
            yield b" "

    with pytest.raises(NodeUnreachable):
        app.record()
    assert len(app.node.said) == 1


def test_an_awaited_answer_that_drips_beyond_the_deadline_is_given_up() -> None:
    app = answering(True, lambda: httpx.Response(200, stream=Drip(iter(lambda: b"", b"never"))))
    with pytest.raises(NodeUnreachable):
        app.record(deadline_s=0.05, retries_max=0)


# Pages


def test_every_claim_is_read_page_by_page(app: App) -> None:
    async def each(client: AsyncClient) -> list[str]:
        return [claim.claim async for claim in client.claims.each(limit=1)]

    assert app.do(lambda client: [claim.claim for claim in client.claims.each(limit=1)], each) == [
        "clm_0",
        "clm_1",
        "clm_2",
    ]
    assert [path for _, path, _, _ in app.node.said] == [
        "/v1/claims?limit=1",
        "/v1/claims?limit=1&cursor=1",
        "/v1/claims?limit=1&cursor=2",
    ]


def test_a_page_is_read_only_when_it_is_needed(app: App) -> None:
    async def first(client: AsyncClient) -> str:
        each = client.claims.each(limit=1)
        claim = await anext(each)
        return claim.claim

    assert app.do(lambda client: next(client.claims.each(limit=1)).claim, first) == "clm_0"
    assert len(app.node.said) == 1


def page(cursor: str | None) -> Claims:
    return Claims(claims=(), has_more=True, next_cursor=cursor)


def test_a_list_that_does_not_end_is_refused() -> None:
    assert next_cursor(page("b"), cursor="a", pages_read=PAGES_MAX - 1) == "b"
    for endless, pages_read in ((page("a"), 1), (page(None), 1), (page("b"), PAGES_MAX)):
        with pytest.raises(ReplyForged, match="does not end"):
            next_cursor(endless, cursor="a", pages_read=pages_read)


# The two clients


def asks(client: Client | AsyncClient) -> dict[str, object]:
    """What can be asked of a client: where it stands, and from which call it was made."""
    return {
        f"{group}.{name}": method._build
        for group, calls in vars(client).items()
        if isinstance(calls, Group | AsyncGroup)
        for name, method in vars(type(calls)).items()
        if isinstance(method, Blocking | Awaited)
    }


def test_both_clients_can_be_asked_the_same() -> None:
    blocking = asks(Client(URL, key="k", descriptor=DESCRIPTOR))
    assert blocking == asks(AsyncClient(URL, key="k", descriptor=DESCRIPTOR))
    assert len(blocking) >= 41


def test_a_method_says_what_it_does() -> None:
    client = Client(URL, key="k", descriptor=DESCRIPTOR)
    assert client.events.record.__doc__ == EventCalls.record.__doc__


def test_a_method_shows_its_arguments_and_what_it_returns(app: App) -> None:
    serve = app.do(lambda client: client.desk.serve, lambda client: _later(client.desk.serve))
    shown, call = inspect.signature(serve), inspect.signature(DeskCalls.serve)
    assert list(shown.parameters.items()) == list(call.parameters.items())[1:]
    assert shown.return_annotation is Served
    told = pydoc.render_doc(serve, renderer=pydoc.plaintext)
    assert "\nserve(" in told
    assert "*args" not in told


async def _later(value: T) -> T:
    return value


def test_a_closed_client_sends_nothing(app: App) -> None:
    client = Client(URL, key="k", descriptor=DESCRIPTOR, transport=app.transport)
    with client:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        client.events.get("evt_1")


def test_an_argument_is_refused_before_anything_is_sent(app: App) -> None:
    with pytest.raises(BadInput):
        app.do(lambda client: client.events.get("../x"), lambda client: client.events.get("../x"))
    assert app.node.said == []


def test_the_fixed_names_are_there() -> None:
    assert {"Client", "AsyncClient"} <= set(tallystick.__all__)
    assert all(hasattr(tallystick, name) for name in tallystick.__all__)
