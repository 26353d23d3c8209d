"""The groups of an `AsyncClient`: each method is awaited."""

from collections.abc import AsyncIterator

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
)
from tallystick.core import RandomBytes
from tallystick.groups.base import AsyncGroup, Awaited, RunAsync, each_page_awaited
from tallystick.wire import PAGE_SIZE_MAX, Claim, Duty, Erasure, OpenContest, OpenRequest, UnacknowledgedStep


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
        async for page in each_page_awaited(lambda cursor: self.duties(limit=limit, cursor=cursor)):
            for each in page.duties:
                yield each

    async def each_unacknowledged(self, *, limit: int = PAGE_SIZE_MAX) -> AsyncIterator[UnacknowledgedStep]:
        """As `Receipts.each_unacknowledged`, awaited."""
        async for page in each_page_awaited(lambda cursor: self.unacknowledged(limit=limit, cursor=cursor)):
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
        async for page in each_page_awaited(lambda cursor: self.requests(limit=limit, cursor=cursor)):
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
        async for page in each_page_awaited(lambda cursor: self.list(limit=limit, cursor=cursor)):
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
        async for page in each_page_awaited(lambda cursor: self.contests(limit=limit, cursor=cursor)):
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
        async for page in each_page_awaited(lambda cursor: self.erasures(limit=limit, cursor=cursor)):
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


class AsyncGroups:
    """All that an `AsyncClient` can ask, a group for each noun."""

    def __init__(self, run: RunAsync, *, random_bytes: RandomBytes) -> None:
        """Let `run` carry out what is asked; `random_bytes` is the system's CSPRNG."""
        self.links = AsyncLinks(LinkCalls(random_bytes), run)
        self.receipts = AsyncReceipts(ReceiptCalls(), run)
        self.standings = AsyncStandings(StandingCalls(), run)
        self.acts = AsyncActs(ActCalls(), run)
        self.desk = AsyncDesk(DeskCalls(), run)
        self.events = AsyncEvents(EventCalls(), run)
        self.programs = AsyncPrograms(ProgramCalls(), run)
        self.claims = AsyncClaims(ClaimCalls(), run)
        self.rewards = AsyncRewards(RewardCalls(), run)
        self.decisions = AsyncDecisions(DecisionCalls(), run)
        self.subjects = AsyncSubjects(SubjectCalls(), run)
        self.proofs = AsyncProofs(ProofCalls(), run)
