"""Clients of one's own node, blocking and awaited: `calls` says what can be asked, `core` how, this file sends it.

Everything a client asks is written once, in `calls`. `Blocking` makes of it a method that returns the reply, `Awaited`
one whose reply is awaited; so the two clients cannot differ in more than that.

Source: API (Python SDK).
"""

import asyncio
import inspect
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, get_args

import httpx

from tallystick.calls import (
    ActCalls,
    ClaimCalls,
    DecisionCalls,
    DeskCalls,
    EventCalls,
    LinkCalls,
    ProgramCalls,
    ProofCalls,
    ReceiptCalls,
    RewardCalls,
    StandingCalls,
    SubjectCalls,
    next_cursor,
)
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
from tallystick.tls import tls_context
from tallystick.wire import PAGE_SIZE_MAX, Claim, Duty, Erasure, OpenContest, OpenRequest, Page, UnacknowledgedStep

_C = TypeVar("_C")
_G = TypeVar("_G", bound=Page)
_T = TypeVar("_T")
_P = ParamSpec("_P")


class Run(Protocol):
    """Carries out a call."""

    def __call__(self, call: Call[_T], /) -> _T:
        """Return the reply, checked."""
        ...


class RunAsync(Protocol):
    """Carries out a call, awaited."""

    def __call__(self, call: Call[_T], /) -> Coroutine[object, object, _T]:
        """Return the reply, checked, once awaited."""
        ...


class Group(Generic[_C]):
    """The calls of a `Client` that belong together."""

    def __init__(self, calls: _C, run: Run) -> None:
        """Run `calls` by `run`."""
        self.calls = calls
        self.run = run


class AsyncGroup(Generic[_C]):
    """The calls of an `AsyncClient` that belong together."""

    def __init__(self, calls: _C, run: RunAsync) -> None:
        """Run `calls` by `run`."""
        self.calls = calls
        self.run = run


def _shown(build: Callable[..., Any]) -> dict[str, Any]:
    """Return what `help` and a shell show of a method: the arguments of the call that it makes, and its reply."""
    of_call = inspect.signature(build)
    reply = next(iter(get_args(of_call.return_annotation)), of_call.return_annotation)
    arguments = list(of_call.parameters.values())[1:]  # without `self`, the calls
    return {"__signature__": of_call.replace(parameters=arguments, return_annotation=reply)}


class Blocking(Generic[_C, _P, _T]):
    """A method that does one of the `calls` and returns its reply; arguments and docstring stay the same."""

    def __init__(self, build: Callable[Concatenate[_C, _P], Call[_T]]) -> None:
        """Run what `build` makes."""
        self._build = build
        self._shown = _shown(build)
        self.__doc__ = build.__doc__

    def __get__(self, group: Group[_C], owner: type) -> Callable[_P, _T]:
        """Return the method of one group."""

        def method(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            return group.run(self._build(group.calls, *args, **kwargs))

        method.__doc__ = self.__doc__
        method.__dict__.update(self._shown)
        method.__name__, method.__qualname__ = self._build.__name__, self._build.__qualname__
        return method


class Awaited(Generic[_C, _P, _T]):
    """A method that does one of the `calls`, awaited; arguments and docstring stay the same."""

    def __init__(self, build: Callable[Concatenate[_C, _P], Call[_T]]) -> None:
        """Run what `build` makes."""
        self._build = build
        self._shown = _shown(build)
        self.__doc__ = build.__doc__

    def __get__(self, group: AsyncGroup[_C], owner: type) -> Callable[_P, Coroutine[object, object, _T]]:
        """Return the method of one group."""

        def method(*args: _P.args, **kwargs: _P.kwargs) -> Coroutine[object, object, _T]:
            return group.run(self._build(group.calls, *args, **kwargs))

        method.__doc__ = self.__doc__
        method.__dict__.update(self._shown)
        method.__name__, method.__qualname__ = self._build.__name__, self._build.__qualname__
        return method


def _pages(read: Callable[[str | None], _G]) -> Iterator[_G]:
    """Yield the pages of a list, each read when it is needed."""
    cursor, pages_read = None, 0
    while pages_read == 0 or cursor is not None:
        page = read(cursor)
        yield page
        pages_read += 1
        cursor = next_cursor(page, cursor=cursor, pages_read=pages_read)


async def _awaited_pages(read: Callable[[str | None], Coroutine[object, object, _G]]) -> AsyncIterator[_G]:
    """As `_pages`, awaited."""
    cursor, pages_read = None, 0
    while pages_read == 0 or cursor is not None:
        page = await read(cursor)
        yield page
        pages_read += 1
        cursor = next_cursor(page, cursor=cursor, pages_read=pages_read)


class Links(Group[LinkCalls]):
    """Make one customer known to two partners under a name of its own."""

    offer = Blocking(LinkCalls.offer)
    accept = Blocking(LinkCalls.accept)
    confirm = Blocking(LinkCalls.confirm)
    match = Blocking(LinkCalls.match)
    find_match = Blocking(LinkCalls.find_match)
    find = Blocking(LinkCalls.find)


class Receipts(Group[ReceiptCalls]):
    """Ask for consent, record it, end it."""

    request = Blocking(ReceiptCalls.request)
    find = Blocking(ReceiptCalls.find)
    get = Blocking(ReceiptCalls.get)
    notice = Blocking(ReceiptCalls.notice)
    export = Blocking(ReceiptCalls.export)
    signed = Blocking(ReceiptCalls.signed)
    give = Blocking(ReceiptCalls.give)
    approve = Blocking(ReceiptCalls.approve)
    refuse = Blocking(ReceiptCalls.refuse)
    withdraw = Blocking(ReceiptCalls.withdraw)
    defer = Blocking(ReceiptCalls.defer)
    pause = Blocking(ReceiptCalls.pause)
    renew = Blocking(ReceiptCalls.renew)
    narrow = Blocking(ReceiptCalls.narrow)
    resources = Blocking(ReceiptCalls.resources)
    versions = Blocking(ReceiptCalls.versions)
    request_version = Blocking(ReceiptCalls.request_version)
    give_version = Blocking(ReceiptCalls.give_version)
    refuse_version = Blocking(ReceiptCalls.refuse_version)
    revoke = Blocking(ReceiptCalls.revoke)
    invalidate = Blocking(ReceiptCalls.invalidate)
    unacknowledged = Blocking(ReceiptCalls.unacknowledged)
    duties = Blocking(ReceiptCalls.duties)

    def each_duty(self, *, limit: int = PAGE_SIZE_MAX) -> Iterator[Duty]:
        """Yield all that this node keeps of receipts until a time, page by page, each read when it is needed."""
        for page in _pages(lambda cursor: self.duties(limit=limit, cursor=cursor)):
            yield from page.duties

    def each_unacknowledged(self, *, limit: int = PAGE_SIZE_MAX) -> Iterator[UnacknowledgedStep]:
        """Yield every step that partners have not signed for, page by page, each read when it is needed."""
        for page in _pages(lambda cursor: self.unacknowledged(limit=limit, cursor=cursor)):
            yield from page.steps


class Standings(Group[StandingCalls]):
    """Who speaks for whom; the node keeps it to itself."""

    record = Blocking(StandingCalls.record)
    find = Blocking(StandingCalls.find)


class Acts(Group[ActCalls]):
    """What customers did other than in an app of their own."""

    find = Blocking(ActCalls.find)


class Desk(Group[DeskCalls]):
    """People without an app: codes by letter, and what is done for whoever tells one."""

    letter = Blocking(DeskCalls.letter)
    serve = Blocking(DeskCalls.serve)
    requests = Blocking(DeskCalls.requests)
    answer = Blocking(DeskCalls.answer)
    delay = Blocking(DeskCalls.delay)

    def each_request(self, *, limit: int = PAGE_SIZE_MAX) -> Iterator[OpenRequest]:
        """Yield every request that nobody has answered, page by page, each read when it is needed."""
        for page in _pages(lambda cursor: self.requests(limit=limit, cursor=cursor)):
            yield from page.requests


class Events(Group[EventCalls]):
    """Record what happened on a journey."""

    record = Blocking(EventCalls.record)
    correct = Blocking(EventCalls.correct)
    get = Blocking(EventCalls.get)


class Programs(Group[ProgramCalls]):
    """Agree on what is counted and what it is worth."""

    publish = Blocking(ProgramCalls.publish)
    list = Blocking(ProgramCalls.list)
    accept = Blocking(ProgramCalls.accept)
    budget = Blocking(ProgramCalls.budget)
    try_out = Blocking(ProgramCalls.try_out)


class Claims(Group[ClaimCalls]):
    """Ask for answers, and see which came."""

    ask = Blocking(ClaimCalls.ask)
    held = Blocking(ClaimCalls.held)
    list = Blocking(ClaimCalls.list)

    def each(self, *, limit: int = PAGE_SIZE_MAX) -> Iterator[Claim]:
        """Yield every claim, newest first, page by page, each read when it is needed."""
        for page in _pages(lambda cursor: self.list(limit=limit, cursor=cursor)):
            yield from page.claims


class Rewards(Group[RewardCalls]):
    """What customers were given."""

    find = Blocking(RewardCalls.find)


class Decisions(Group[DecisionCalls]):
    """What this node decided, for the customer to read."""

    find = Blocking(DecisionCalls.find)
    why = Blocking(DecisionCalls.why)
    contest = Blocking(DecisionCalls.contest)
    contests = Blocking(DecisionCalls.contests)
    answer = Blocking(DecisionCalls.answer)

    def each_contest(self, *, limit: int = PAGE_SIZE_MAX) -> Iterator[OpenContest]:
        """Yield every contest that nobody has answered, page by page, each read when it is needed."""
        for page in _pages(lambda cursor: self.contests(limit=limit, cursor=cursor)):
            yield from page.contests


class Subjects(Group[SubjectCalls]):
    """Everything about one customer at once."""

    erase = Blocking(SubjectCalls.erase)
    erasures = Blocking(SubjectCalls.erasures)
    certificate = Blocking(SubjectCalls.certificate)
    export = Blocking(SubjectCalls.export)

    def each_erasure(self, *, limit: int = PAGE_SIZE_MAX) -> Iterator[Erasure]:
        """Yield every erasure that no partner has attested yet, page by page, each read when it is needed."""
        for page in _pages(lambda cursor: self.erasures(limit=limit, cursor=cursor)):
            yield from page.erasures


class Proofs(Group[ProofCalls]):
    """Single entries of the node's ledger, to keep and to show."""

    get = Blocking(ProofCalls.get)
    entries = Blocking(ProofCalls.entries)
    range = Blocking(ProofCalls.range)
    renew = Blocking(ProofCalls.renew)
    consistency = Blocking(ProofCalls.consistency)
    subtree = Blocking(ProofCalls.subtree)


class AsyncLinks(AsyncGroup[LinkCalls]):
    """As `Links`, awaited."""

    offer = Awaited(LinkCalls.offer)
    accept = Awaited(LinkCalls.accept)
    confirm = Awaited(LinkCalls.confirm)
    match = Awaited(LinkCalls.match)
    find_match = Awaited(LinkCalls.find_match)
    find = Awaited(LinkCalls.find)


class AsyncReceipts(AsyncGroup[ReceiptCalls]):
    """As `Receipts`, awaited."""

    request = Awaited(ReceiptCalls.request)
    find = Awaited(ReceiptCalls.find)
    get = Awaited(ReceiptCalls.get)
    notice = Awaited(ReceiptCalls.notice)
    export = Awaited(ReceiptCalls.export)
    signed = Awaited(ReceiptCalls.signed)
    give = Awaited(ReceiptCalls.give)
    approve = Awaited(ReceiptCalls.approve)
    refuse = Awaited(ReceiptCalls.refuse)
    withdraw = Awaited(ReceiptCalls.withdraw)
    defer = Awaited(ReceiptCalls.defer)
    pause = Awaited(ReceiptCalls.pause)
    renew = Awaited(ReceiptCalls.renew)
    narrow = Awaited(ReceiptCalls.narrow)
    resources = Awaited(ReceiptCalls.resources)
    versions = Awaited(ReceiptCalls.versions)
    request_version = Awaited(ReceiptCalls.request_version)
    give_version = Awaited(ReceiptCalls.give_version)
    refuse_version = Awaited(ReceiptCalls.refuse_version)
    revoke = Awaited(ReceiptCalls.revoke)
    invalidate = Awaited(ReceiptCalls.invalidate)
    unacknowledged = Awaited(ReceiptCalls.unacknowledged)
    duties = Awaited(ReceiptCalls.duties)

    async def each_duty(self, *, limit: int = PAGE_SIZE_MAX) -> AsyncIterator[Duty]:
        """As `Receipts.each_duty`, awaited."""
        async for page in _awaited_pages(lambda cursor: self.duties(limit=limit, cursor=cursor)):
            for each in page.duties:
                yield each

    async def each_unacknowledged(self, *, limit: int = PAGE_SIZE_MAX) -> AsyncIterator[UnacknowledgedStep]:
        """As `Receipts.each_unacknowledged`, awaited."""
        async for page in _awaited_pages(lambda cursor: self.unacknowledged(limit=limit, cursor=cursor)):
            for each in page.steps:
                yield each


class AsyncStandings(AsyncGroup[StandingCalls]):
    """As `Standings`, awaited."""

    record = Awaited(StandingCalls.record)
    find = Awaited(StandingCalls.find)


class AsyncActs(AsyncGroup[ActCalls]):
    """As `Acts`, awaited."""

    find = Awaited(ActCalls.find)


class AsyncDesk(AsyncGroup[DeskCalls]):
    """As `Desk`, awaited."""

    letter = Awaited(DeskCalls.letter)
    serve = Awaited(DeskCalls.serve)
    requests = Awaited(DeskCalls.requests)
    answer = Awaited(DeskCalls.answer)
    delay = Awaited(DeskCalls.delay)

    async def each_request(self, *, limit: int = PAGE_SIZE_MAX) -> AsyncIterator[OpenRequest]:
        """As `Desk.each_request`, awaited."""
        async for page in _awaited_pages(lambda cursor: self.requests(limit=limit, cursor=cursor)):
            for each in page.requests:
                yield each


class AsyncEvents(AsyncGroup[EventCalls]):
    """As `Events`, awaited."""

    record = Awaited(EventCalls.record)
    correct = Awaited(EventCalls.correct)
    get = Awaited(EventCalls.get)


class AsyncPrograms(AsyncGroup[ProgramCalls]):
    """As `Programs`, awaited."""

    publish = Awaited(ProgramCalls.publish)
    list = Awaited(ProgramCalls.list)
    accept = Awaited(ProgramCalls.accept)
    budget = Awaited(ProgramCalls.budget)
    try_out = Awaited(ProgramCalls.try_out)


class AsyncClaims(AsyncGroup[ClaimCalls]):
    """As `Claims`, awaited."""

    ask = Awaited(ClaimCalls.ask)
    held = Awaited(ClaimCalls.held)
    list = Awaited(ClaimCalls.list)

    async def each(self, *, limit: int = PAGE_SIZE_MAX) -> AsyncIterator[Claim]:
        """Yield every claim, newest first, reading pages of `limit` as they are needed."""
        async for page in _awaited_pages(lambda cursor: self.list(limit=limit, cursor=cursor)):
            for claim in page.claims:
                yield claim


class AsyncRewards(AsyncGroup[RewardCalls]):
    """As `Rewards`, awaited."""

    find = Awaited(RewardCalls.find)


class AsyncDecisions(AsyncGroup[DecisionCalls]):
    """As `Decisions`, awaited."""

    find = Awaited(DecisionCalls.find)
    why = Awaited(DecisionCalls.why)
    contest = Awaited(DecisionCalls.contest)
    contests = Awaited(DecisionCalls.contests)
    answer = Awaited(DecisionCalls.answer)

    async def each_contest(self, *, limit: int = PAGE_SIZE_MAX) -> AsyncIterator[OpenContest]:
        """As `Decisions.each_contest`, awaited."""
        async for page in _awaited_pages(lambda cursor: self.contests(limit=limit, cursor=cursor)):
            for each in page.contests:
                yield each


class AsyncSubjects(AsyncGroup[SubjectCalls]):
    """As `Subjects`, awaited."""

    erase = Awaited(SubjectCalls.erase)
    erasures = Awaited(SubjectCalls.erasures)
    certificate = Awaited(SubjectCalls.certificate)
    export = Awaited(SubjectCalls.export)

    async def each_erasure(self, *, limit: int = PAGE_SIZE_MAX) -> AsyncIterator[Erasure]:
        """As `Subjects.each_erasure`, awaited."""
        async for page in _awaited_pages(lambda cursor: self.erasures(limit=limit, cursor=cursor)):
            for each in page.erasures:
                yield each


class AsyncProofs(AsyncGroup[ProofCalls]):
    """As `Proofs`, awaited."""

    get = Awaited(ProofCalls.get)
    entries = Awaited(ProofCalls.entries)
    range = Awaited(ProofCalls.range)
    renew = Awaited(ProofCalls.renew)
    consistency = Awaited(ProofCalls.consistency)
    subtree = Awaited(ProofCalls.subtree)


class Client:
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
        self.links = Links(LinkCalls(random_bytes), self._run)
        self.receipts = Receipts(ReceiptCalls(), self._run)
        self.standings = Standings(StandingCalls(), self._run)
        self.acts = Acts(ActCalls(), self._run)
        self.desk = Desk(DeskCalls(), self._run)
        self.events = Events(EventCalls(), self._run)
        self.programs = Programs(ProgramCalls(), self._run)
        self.claims = Claims(ClaimCalls(), self._run)
        self.rewards = Rewards(RewardCalls(), self._run)
        self.decisions = Decisions(DecisionCalls(), self._run)
        self.subjects = Subjects(SubjectCalls(), self._run)
        self.proofs = Proofs(ProofCalls(), self._run)

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


class AsyncClient:
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
        self.links = AsyncLinks(LinkCalls(random_bytes), self._run)
        self.receipts = AsyncReceipts(ReceiptCalls(), self._run)
        self.standings = AsyncStandings(StandingCalls(), self._run)
        self.acts = AsyncActs(ActCalls(), self._run)
        self.desk = AsyncDesk(DeskCalls(), self._run)
        self.events = AsyncEvents(EventCalls(), self._run)
        self.programs = AsyncPrograms(ProgramCalls(), self._run)
        self.claims = AsyncClaims(ClaimCalls(), self._run)
        self.rewards = AsyncRewards(RewardCalls(), self._run)
        self.decisions = AsyncDecisions(DecisionCalls(), self._run)
        self.subjects = AsyncSubjects(SubjectCalls(), self._run)
        self.proofs = AsyncProofs(ProofCalls(), self._run)

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
