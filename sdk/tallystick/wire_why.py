"""The shapes of why: what was decided about a subject, in words that the subject reads, and a rule tried beforehand.

Beside `wire`, in the same manner: strict, bounded, and nothing about a person outside of a body.

Source: DESIGN P14, SCENARIOS I10, API section 10 (dry run).
"""

from typing import Annotated, Literal

from pydantic import Field

from tallystick.wire import Document, Reply, Request, Subject
from tallystick_consent.rules.periods import PERIOD_NAME_PATTERN

PERIODS_TRIED_MAX = 36

Ground = Literal["count_wrong", "flag_wrong", "not_mine", "should_not_be_refused"]
"""What a subject may say is wrong with a decision; a closed list, so that nothing personal is written with it."""


class TryProgram(Request):
    """A program to try on events that the node has; nothing is published, issued or kept.

    Attributes:
        program: as for `PublishProgram`.
        periods: ISO 8601 names, of the rule's span.
    """

    program: Document
    periods: Annotated[
        list[Annotated[str, Field(pattern=PERIOD_NAME_PATTERN)]], Field(min_length=1, max_length=PERIODS_TRIED_MAX)
    ]


class TriedPeriod(Reply):
    """What a program would have said of one period: counts over all subjects, and nobody's own.

    Attributes:
        subjects: how many had any event that the rule reads.
        answers: how many claims would have been sent.
        bands: how many in each band, by its number.
        counted, not_counted: how many events stood behind answers, and how many did not, by the reason.
        flags: what a person should look at, by how often.
    """

    period: str
    subjects: int
    answers: int
    bands: dict[str, int]
    counted: int
    not_counted: dict[str, int]
    flags: dict[str, int]


class TriedProgram(Reply):
    """What a program would have said, and what it tells the payer in words a customer reads.

    Attributes:
        learns: what the payer learns, a sentence each.
        silence: what it can tell from no answer.
    """

    learns: tuple[str, ...]
    silence: str
    periods: tuple[TriedPeriod, ...]


class NotCounted(Reply):
    """Inputs that did not count: how many, and why, as a word and in words."""

    reason: str
    count: int
    words: str


class Contest(Reply):
    """That the subject says a decision is wrong.

    Attributes:
        contest: its id.
        decision: the decision's number.
        state: `open`; what comes of it is between the company and the subject.
        contested_at: when, in seconds since 1970-01-01 UTC.
    """

    contest: str
    decision: int
    ground: Ground
    state: Literal["open"] = "open"
    contested_at: int


class OpenContest(Contest):
    """A contest, as the company's own staff sees it."""

    subject: str
    receipt: str
    partner: str
    program: str
    version: int
    period: str


class OpenContests(Reply):
    """Contests, newest first."""

    contests: tuple[OpenContest, ...]


class ContestDecision(Request):
    """A subject says that a decision of this node is wrong.

    Attributes:
        decision: its number, from an explanation.
    """

    subject: Subject
    decision: Annotated[int, Field(ge=1, lt=2**53)]
    ground: Ground


class Paid(Reply):
    """What was given for an answer.

    Attributes:
        state: `posted`, or `waitlisted` where the budget was spent.
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


class Explanations(Reply):
    """Everything that can be explained to one customer, oldest first."""

    explanations: tuple[Explanation, ...]
