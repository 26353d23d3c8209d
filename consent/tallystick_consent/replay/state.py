"""What a replay of consent remembers of the entries so far.

A saved audit writes these members down as they and their types say, so what is remembered stands here and nowhere else.
"""

from collections.abc import Callable, MutableMapping, MutableSet
from dataclasses import dataclass, field

from tallystick_consent.entries import (
    AcceptanceBody,
    CarriedAnswer,
    DisclosureBody,
    ErasureBody,
    ProgramBody,
    ReceiptBody,
    SoFar,
)
from tallystick_consent.receipts.states import IN_FORCE, OPEN
from tallystick_ledger.replay import Finding
from tallystick_ledger.times import CLOCKS_DIFFER_MAX_S, DAY_S

TIME_SLACK_S = CLOCKS_DIFFER_MAX_S
"""How far two honest clocks may lie apart (P16)."""

ON_ITS_WAY_S = DAY_S
"""How long an answer that a step lists as on its way may still be logged as delivered: replies take seconds."""

Report = Callable[[str, str], None]
"""Is told that a rule does not hold at the entry at hand: its id, and one sentence."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """That a partner signed for a step of a receipt that the other one took, as one ledger has it.

    Attributes:
        version: of the receipt.
        state: the step's.
        signed: digest of what was sent, which is what was signed for.
        at_s: when the signer says that it signed.
        digest: of the signature.
        index: of the entry that records it.
        by_partner: the other partner gave it, for a step that was taken here; else this one did, for one it was told.
    """

    version: int
    state: str
    signed: str
    at_s: int
    digest: str
    index: int
    by_partner: bool

    def step(self) -> tuple[str, str]:
        """Return what was signed for, as both ledgers name it; the signed object says which version it is of."""
        return self.state, self.signed


@dataclass(frozen=True, slots=True)
class Duty:
    """What a recipient still has to discharge.

    Attributes:
        field: what it keeps.
        claim: digest of the answer; "" of other fields.
        due_s: until when it may keep it.
        index: of the entry because of which it owes that.
    """

    field: str
    claim: str
    due_s: int
    index: int


def _is_fewer(before: ReceiptBody, after: ReceiptBody) -> bool:
    """Return whether a version leaves out a resource that the one before was about."""
    if after.resources is None:
        return False
    return before.resources is None or not set(before.resources) <= set(after.resources)


_NONE: frozenset[str] = frozenset()


def _those(claims: tuple[str, ...]) -> frozenset[str]:
    """Return a set of claims: one and the same where there are none, since most receipts list none."""
    return frozenset(claims) if claims else _NONE


@dataclass(slots=True)
class ReceiptLife:
    """What the entries so far say of one receipt.

    Attributes:
        body: its last step.
        live_leaf: index of the entry that made it live, None while it is not.
        lived_leaf: the same after it was stopped.
        deliverable: digests of claims that may be delivered, and accepted, although it was stopped.
        fewer_leaf: index of the entry by which it came to be about fewer resources, the last such; 0 for none.
        left: digests of claims that were on their way when it was last given: they may have arrived before that. Of
            what the log's opening carried nothing tells, so it is all of that.
        left_until_s: until when these may be delivered although it covers them no more.
        asked: a next version, requested and not answered.
        confirmed_at_s: when the subject last said yes.
        used: how many answers were given before this log, where that is limited.
        answered: the nullifiers of those given in it.
        carried_leaf: index of the part of the log's opening that carried it, None where it began in this log.
        stepped_leaf: index of the entry of its last step.
        listed_until_s: until when what is `deliverable` may be delivered; None where a withdrawal settles it, and it
            may come as long as it is valid.
        stepped_at_s: when that was logged; 0 where the log's opening carried it.
        acknowledged: the signatures for its steps, in order.
        uses: the use number of the answer last issued; None where the opening carried the receipt, and does not tell.
        day: the first single day that an answer was about; "" for none.
        grade: of the evidence of its last giving; "" where none is told.
    """

    body: ReceiptBody
    live_leaf: int | None = None
    lived_leaf: int | None = None
    deliverable: frozenset[str] = frozenset()
    asked: ReceiptBody | None = None
    confirmed_at_s: int = 0
    used: int = 0
    answered: set[str] = field(default_factory=set[str])
    carried_leaf: int | None = None
    stepped_leaf: int = 0
    stepped_at_s: int = 0
    acknowledged: list[Acknowledged] = field(default_factory=list[Acknowledged])
    uses: int | None = 0
    day: str = ""
    grade: str = ""
    left: frozenset[str] = frozenset()
    left_until_s: int = 0
    fewer_leaf: int = 0
    listed_until_s: int | None = None

    def step(
        self, body: ReceiptBody, index: int, at_s: int, *, acknowledges: bool, confirms: bool, settles: bool
    ) -> None:
        """Take the next step, at `index`: one that is in force and acknowledged makes it live, any other stops it.

        Args:
            at_s: when it was logged.
            acknowledges: it records that the other partner signed the step before, and so lists nothing anew.
            confirms: if it is in force, it is a yes to all that the receipt permits.
            settles: it is a withdrawal that lets what it lists come as long as that is valid.
        """
        if body.version != self.body.version and _is_fewer(self.body, body):
            self.fewer_leaf = index
        self.body, self.grade = body, body.grade or self.grade
        self.stepped_leaf, self.stepped_at_s = index, at_s
        if self.has_ended:
            self.asked = None
        if body.state in IN_FORCE and not acknowledges:
            self.confirmed_at_s = at_s if confirms else self.confirmed_at_s
            self.left, self.left_until_s = _those(body.deliverable), at_s + ON_ITS_WAY_S
        if body.state in IN_FORCE and body.acknowledgement is not None:
            self.live_leaf, self.deliverable = index, _NONE
        elif not acknowledges:
            self.live_leaf, self.lived_leaf = None, self.lived_leaf if self.live_leaf is None else self.live_leaf
            self.deliverable = _those(body.deliverable)
            self.listed_until_s = None if settles else at_s + ON_ITS_WAY_S

    @property
    def has_ended(self) -> bool:
        """Whether nothing more may come of it."""
        return self.body.state not in OPEN

    @property
    def so_far(self) -> SoFar:
        """What counts against its limits."""
        days = self.body.limits.reconfirm_days
        return SoFar(uses=self.used + len(self.answered), confirmed_at=self.confirmed_at_s if days else 0)

    def leaf_for(self, body: DisclosureBody | AcceptanceBody) -> int | None:
        """Return the index of the entry by which the receipt covers an answer now, None where it does not."""
        return self.lived_leaf if self.is_listed(body) else self.live_leaf

    def is_listed(self, body: DisclosureBody | AcceptanceBody) -> bool:
        """Return whether an answer is accepted that was on its way when the receipt was stopped."""
        return type(body) is AcceptanceBody and body.claim in self.deliverable


@dataclass(slots=True)
class ConsentState:
    """The state of consent in one ledger after the entries it was told of.

    What grows with customers is a mapping or a set of any kind: who replays more than memory holds keeps it elsewhere.

    Attributes:
        host: the partner whose ledger it is.
        log: name of the log that is replayed, such as `2027`; "" where nobody says, and places are not looked at.
        continues: it continues another log, whose ended receipts it does not tell of.
        opened: how many parts of its opening it began with, so far.
        names_deadlines: a stop in it, or in its opening, has named a deadline, as all do since version 0.1.
        names_figures: a program in it, or in its opening, has said what its answers tell, as all do since version 0.1.
        receipts: each receipt's life, by id.
        crossed: what was signed for here after a receipt had ended, by the receipt's id.
        duties: what is not discharged yet, by the id of its receipt.
        disclosures: the last step of each claim that was answered, by its digest, and the index of its issue.
        acceptances: each claim that was taken, by its digest, and its index.
        programs: each program's body, by payer, name and version.
        issued: the claim last issued for each nullifier.
        delivered: the claim delivered for each nullifier.
        accepted: the claim accepted for each nullifier. Apart from `issued`, since a partner may be either end.
        logged_at_s: when each claim was issued or accepted here, by its digest.
        revoked_at_s: when each claim was revoked here, by its digest.
        before: answers of the logs that this one continues, by their digest.
        retracted: claims that were accepted here, and that their issuers revoked.
        events: where events stand: from an index to before another, then the next two, in order.
        corrected: by which entry the event at each place was said to be wrong; places are `LOG/LEAF`.
        corrections: ids of the entries that correct events.
        erasures: the last step of each erasure, by its id.
        erased: receipts of links that were erased.
        answered: the programs, and their versions, answered for each other partner and period.
        held: what was held together and found within its rung, for each other partner and period: payer, program,
            version and the height of the rung, after so many programs were logged, and so many of them answered.
        unchecked: kinds without rules, and how many entries of each; those of records as `opening/KIND`.
    """

    host: str
    log: str = ""
    continues: bool = False
    opened: int = 0
    names_deadlines: bool = False
    names_figures: bool = False
    receipts: MutableMapping[str, ReceiptLife] = field(default_factory=dict[str, ReceiptLife])
    crossed: MutableMapping[str, tuple[Acknowledged, ...]] = field(default_factory=dict[str, tuple[Acknowledged, ...]])
    duties: MutableMapping[str, tuple[Duty, ...]] = field(default_factory=dict[str, tuple[Duty, ...]])
    disclosures: MutableMapping[str, tuple[DisclosureBody, int]] = field(
        default_factory=dict[str, tuple[DisclosureBody, int]]
    )
    acceptances: MutableMapping[str, tuple[AcceptanceBody, int]] = field(
        default_factory=dict[str, tuple[AcceptanceBody, int]]
    )
    programs: dict[tuple[str, str, int], ProgramBody] = field(default_factory=dict[tuple[str, str, int], ProgramBody])
    issued: MutableMapping[str, str] = field(default_factory=dict[str, str])
    delivered: MutableMapping[str, str] = field(default_factory=dict[str, str])
    accepted: MutableMapping[str, str] = field(default_factory=dict[str, str])
    logged_at_s: MutableMapping[str, int] = field(default_factory=dict[str, int])
    revoked_at_s: MutableMapping[str, int] = field(default_factory=dict[str, int])
    before: MutableMapping[str, CarriedAnswer] = field(default_factory=dict[str, CarriedAnswer])
    retracted: MutableSet[str] = field(default_factory=set[str])
    events: list[int] = field(default_factory=list[int])
    corrected: MutableMapping[str, int] = field(default_factory=dict[str, int])
    corrections: MutableSet[str] = field(default_factory=set[str])
    erasures: MutableMapping[str, ErasureBody] = field(default_factory=dict[str, ErasureBody])
    erased: MutableSet[str] = field(default_factory=set[str])
    answered: dict[tuple[str, str], frozenset[tuple[str, int]]] = field(
        default_factory=dict[tuple[str, str], frozenset[tuple[str, int]]]
    )
    held: dict[tuple[str, str], tuple[tuple[int, int], frozenset[tuple[str, str, int, int]]]] = field(
        default_factory=dict[tuple[str, str], tuple[tuple[int, int], frozenset[tuple[str, str, int, int]]]]
    )
    unchecked: dict[str, int] = field(default_factory=dict[str, int])
    findings: list[Finding] = field(default_factory=list[Finding])

    def settles(self, body: ReceiptBody) -> bool:
        """Return whether a step, taken now, is a withdrawal that settles what was earned.

        Nodes of version 0.1 did not say: they did not say either what their programs tell, so one that does and leaves
        this out settles nothing.
        """
        if body.state != "withdrawn":
            return False
        if body.earned:
            return body.earned == "settle_earned"
        program = self.programs.get((body.recipient, body.program, body.program_version))
        return program is None or program.tells is None

    def count_unchecked(self, kind: str) -> None:
        """Note that there is no rule for an entry of this kind."""
        self.unchecked[kind] = self.unchecked.get(kind, 0) + 1

    def reporter(self, index: int) -> Report:
        """Return what notes a finding about the entry at `index`."""

        def report(rule: str, problem: str) -> None:
            self.findings.append(Finding(rule, f"entry {index}", problem))

        return report
