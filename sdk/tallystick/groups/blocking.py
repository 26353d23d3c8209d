"""The groups of a `Client`: each method returns its reply."""

from collections.abc import Iterator

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
from tallystick.groups.base import Blocking, Group, Run, each_page
from tallystick.wire import PAGE_SIZE_MAX, Claim, Duty, Erasure, OpenContest, OpenRequest, UnacknowledgedStep


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
        for page in each_page(lambda cursor: self.duties(limit=limit, cursor=cursor)):
            yield from page.duties

    def each_unacknowledged(self, *, limit: int = PAGE_SIZE_MAX) -> Iterator[UnacknowledgedStep]:
        """Yield every step that partners have not signed for, page by page, each read when it is needed."""
        for page in each_page(lambda cursor: self.unacknowledged(limit=limit, cursor=cursor)):
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
        for page in each_page(lambda cursor: self.requests(limit=limit, cursor=cursor)):
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
        for page in each_page(lambda cursor: self.list(limit=limit, cursor=cursor)):
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
        for page in each_page(lambda cursor: self.contests(limit=limit, cursor=cursor)):
            yield from page.contests


class Subjects(Group[SubjectCalls]):
    """Everything about one customer at once."""

    erase = Blocking(SubjectCalls.erase)
    erasures = Blocking(SubjectCalls.erasures)
    certificate = Blocking(SubjectCalls.certificate)
    export = Blocking(SubjectCalls.export)

    def each_erasure(self, *, limit: int = PAGE_SIZE_MAX) -> Iterator[Erasure]:
        """Yield every erasure that no partner has attested yet, page by page, each read when it is needed."""
        for page in each_page(lambda cursor: self.erasures(limit=limit, cursor=cursor)):
            yield from page.erasures


class Proofs(Group[ProofCalls]):
    """Single entries of the node's ledger, to keep and to show."""

    get = Blocking(ProofCalls.get)
    entries = Blocking(ProofCalls.entries)
    range = Blocking(ProofCalls.range)
    renew = Blocking(ProofCalls.renew)
    consistency = Blocking(ProofCalls.consistency)
    subtree = Blocking(ProofCalls.subtree)


class Groups:
    """All that a `Client` can ask, a group for each noun."""

    def __init__(self, run: Run, *, random_bytes: RandomBytes) -> None:
        """Let `run` carry out what is asked; `random_bytes` is the system's CSPRNG."""
        self.links = Links(LinkCalls(random_bytes), run)
        self.receipts = Receipts(ReceiptCalls(), run)
        self.standings = Standings(StandingCalls(), run)
        self.acts = Acts(ActCalls(), run)
        self.desk = Desk(DeskCalls(), run)
        self.events = Events(EventCalls(), run)
        self.programs = Programs(ProgramCalls(), run)
        self.claims = Claims(ClaimCalls(), run)
        self.rewards = Rewards(RewardCalls(), run)
        self.decisions = Decisions(DecisionCalls(), run)
        self.subjects = Subjects(SubjectCalls(), run)
        self.proofs = Proofs(ProofCalls(), run)
