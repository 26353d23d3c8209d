"""What came of it, on the wire: claims, rewards, and why; in words that the subject reads.

Source: DESIGN P14, SCENARIOS I10.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tallystick.wire.base import CorrectionId, Page, PeriodName, Reply, Request, Subject
from tallystick_consent.fields import LinkId
from tallystick_consent.receipts.answering import Declined
from tallystick_consent.receipts.evidence import Agent


class AskClaim(Request):
    """Ask the issuer of a link for its answer on a period. Nothing says whether one will come."""

    link: LinkId
    period: PeriodName


class Asked(Reply):
    """What every ask gets, whatever the node will decide."""

    status: Literal["accepted"] = "accepted"


class Claim(Reply):
    """A claim this node issued or received, without its answer.

    Attributes:
        state: `issued`, `delivered`, `withheld`, `expired` or `revoked` where it was issued; `accepted` or
            `retracted` where it was received.
        log_index: where the entry that issued or accepted it stands in this node's ledger.
        band: the band that a claim says which was received; None where its program has none, or its receipt ended.
    """

    claim: str
    partner: str
    program: str
    version: int
    period: str
    receipt: str
    state: str
    expires_at: int
    log_index: int
    band: int | None = None


class HeldClaim(Reply):
    """A claim that the wallet of its subject can present.

    Attributes:
        token: SD-JWT, bound to the wallet's key.
    """

    issuer: str
    recipient: str
    period: str
    expires_at: int
    token: str


class HeldClaims(Reply):
    """The claims that one customer's wallet can present, newest first."""

    claims: tuple[HeldClaim, ...]


class Claims(Page):
    """A page of claims, newest first."""

    claims: tuple[Claim, ...]


class Reward(Reply):
    """A reward of one customer, and why.

    Attributes:
        amount: minor units.
        state: `posted`, or `waitlisted` where the budget was spent, until some of it comes back; `reversed` or
            `voided` where it was taken back.
        reasons: rule and version, claim and receipt behind it.
    """

    reward: str
    program: str
    period: str
    asset: str
    amount: int
    state: str
    posted_at: int | None
    reasons: dict[str, Any]


class Rewards(Reply):
    """Rewards of one customer."""

    rewards: tuple[Reward, ...]


class Decision(Reply):
    """What this node decided about one customer's period, for that customer to read.

    Attributes:
        outcome: `issued`, `not_reached` or `refused`; where late evidence was looked at, `made_good` by a new claim, or
            what was told `stands`, as where an earlier receipt of the link told it; where an event was corrected, that
            or `made_good`, or `taken_back`.
        counted: how many events counted.
        not_counted: how many did not, by the reason.
        reasons: why it was refused, each with what would have been permitted.
        band: the band that was found; None where the rule has none, or there was no answer.
        flags: what a person should look at, by how often, such as `implausible` days.
        asked_count: how often the partner asked and was refused so, `decided_at` being the last time; 0 where the node
            decided unasked, as at a close.
    """

    program: str
    version: int
    period: str
    partner: str
    receipt: str
    outcome: Literal["issued", "not_reached", "refused", "made_good", "stands", "taken_back"]
    counted: int
    not_counted: dict[str, int]
    reasons: tuple[dict[str, str], ...]
    decided_at: int
    band: int | None = None
    flags: dict[str, int] = Field(default_factory=dict)
    asked_count: int = 0


class Decisions(Reply):
    """Decisions about one customer, in the order in which they were kept.

    Attributes:
        older_count: how many there are that are older, and not among them.
    """

    decisions: tuple[Decision, ...]
    older_count: int = 0


Ground = Literal["count_wrong", "flag_wrong", "not_mine", "should_not_be_refused"]
"""What a subject may say is wrong with a decision; a closed list, so that nothing personal is written with it."""


class NotCounted(Reply):
    """Inputs that did not count: how many, and why, as a word and in words."""

    reason: str
    count: int
    words: str


class Contest(Reply):
    """That the subject says a decision is wrong, and what the company says to it.

    Attributes:
        contest: its id.
        decision: the decision's number.
        state: `open`, then `upheld` or `declined`.
        contested_at: when, in seconds since 1970-01-01 UTC.
        answer_by: until when it is to be answered, likewise: a month, or three where it is delayed.
        delayed: why it takes longer than a month, as `Delayed` has it; "" where it does not.
        because: why it was declined, as `Declined` has it; "" otherwise.
        correction: what was corrected since it was upheld, "" for nothing.
        answered_at: when, null where it is open.
    """

    contest: str
    decision: int
    ground: Ground
    state: Literal["open", "upheld", "declined"] = "open"
    contested_at: int
    answer_by: int
    because: str = ""
    correction: str = ""
    answered_at: int | None = None
    delayed: str = ""


class OpenContest(Contest):
    """A contest that nobody has answered, as the company's own staff sees it."""

    subject: str
    receipt: str
    partner: str
    program: str
    version: int
    period: str
    overdue: bool


class OpenContests(Page):
    """A page of contests, what is due first at the front."""

    contests: tuple[OpenContest, ...]


class ContestDecision(Request):
    """A subject says that a decision of this node is wrong.

    Attributes:
        decision: its number, from an explanation.
    """

    subject: Subject
    decision: Annotated[int, Field(ge=1, lt=2**53)]
    ground: Ground


class AnswerContest(Request):
    """Say to a contest that the subject is right, or why not.

    Attributes:
        because: why it is declined.
        correction: what was corrected since the subject is right; there must be one where the record was wrong.
        agent: our own id of who decided; sealed.
    """

    subject: Subject
    contest: Annotated[str, Field(pattern=r"^cts_[a-z2-7]{26}$")]
    outcome: Literal["upheld", "declined"]
    because: Declined | None = None
    correction: CorrectionId | None = None
    agent: Agent

    @model_validator(mode="after")
    def _whole(self) -> "AnswerContest":
        if (self.because is not None) != (self.outcome == "declined"):
            raise ValueError("a ground is named where a contest is declined, and nowhere else")
        if self.correction is not None and self.outcome != "upheld":
            raise ValueError("something is corrected where a contest is upheld")
        return self


class Paid(Reply):
    """What was given for an answer.

    Attributes:
        state: `posted`, or `waitlisted` where the budget was spent, until some of it comes back; `reversed` or
            `voided` where it was taken back.
        amount: minor units of the asset.
    """

    reward: str
    asset: str
    amount: int
    state: str
    posted_at: int | None


class Explanation(Reply):
    """Why: one answer, silence, refusal or reward, for its subject to read.

    Attributes:
        kind: `answer` where a claim told something, `silence` where nothing was told, `refusal` where nothing might be,
            `reward` where a claim was taken here and something given for it.
        decision: number of the decision, to contest it; 0 for a reward.
        outcome: as `wire.Decision` has it, or the reward's state.
        partner: who was told; of a reward, who told.
        rule: program and version, such as `ins-fit@1`.
        learns: what the payer learns from an answer under that rule, in words.
        counted: how many inputs counted; of a reward, claims.
        told: what the claim says, exactly; "" where nothing was told, or its receipt has ended.
        claim: the claim's id; "" for none.
        claim_state: what became of it; "" for none.
        reasons: of a refusal, or of what stands as it was told: a word and words each.
        flags: what a person should look at, by how often.
        contest: what the subject said against it.
        paid: what was given.
        asked_count: as `wire.Decision` has it.
    """

    kind: Literal["answer", "silence", "refusal", "reward"]
    decision: int
    outcome: str
    partner: str
    rule: str
    learns: tuple[str, ...]
    period: str
    receipt: str
    counted: int
    not_counted: tuple[NotCounted, ...]
    told: str
    band: int | None
    claim: str
    claim_state: str
    reasons: tuple[dict[str, str], ...]
    flags: dict[str, int]
    contest: Contest | None
    paid: Paid | None
    decided_at: int
    asked_count: int = 0


class Explanations(Reply):
    """Everything that can be explained to one customer, oldest first.

    Attributes:
        older_count: how many decisions there are that are older, and not among them.
    """

    explanations: tuple[Explanation, ...]
    older_count: int = 0
