"""Who speaks for whom, and those who come without an app.

Only a company's own apps send these, and only its own node reads them: nothing of this goes to a partner.

Source: SCENARIOS 1.13 to 1.15 and 3.17, UX (pages 1 and 2).
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tallystick.wire.base import CorrectionId, Hint, Login, OfferCode, Page, Proven, Reply, Request, Subject
from tallystick.wire.events import Opening
from tallystick.wire.receipts import Receipt
from tallystick.wire.subjects import Erasure
from tallystick_consent.fields import ReceiptId, Seconds
from tallystick_consent.receipts.answering import Declined, Delayed
from tallystick_consent.receipts.authority import SPEAKERS_MAX
from tallystick_consent.receipts.evidence import Agent, Channel
from tallystick_consent.receipts.receipt import Notice

CANDIDATES_MAX = 20

CODE_TOLD_MAX_CHARS = 40


class RecordStanding(Request):
    """Put on record who speaks for a customer; what was on record before is replaced.

    Attributes:
        kind: a `minor`, `joint` holders, a `company`; `own` where the customer speaks for itself again.
        speakers: our own ids of the guardians, holders or agents; none where no guardian is known.
        of_age_from: of a minor, from when on it speaks for itself, seconds since 1970-01-01 UTC.
        needed: of joint holders, how many must say yes; any one of them can stop.
    """

    subject: Subject
    kind: Literal["own", "minor", "joint", "company"]
    speakers: Annotated[tuple[Subject, ...], Field(max_length=SPEAKERS_MAX, strict=False)] = ()  # JSON has arrays alone
    of_age_from: Seconds | None = None
    needed: Annotated[int, Field(ge=1, le=SPEAKERS_MAX)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> "RecordStanding":
        if (self.kind == "minor") != (self.of_age_from is not None):
            raise ValueError("when one comes of age is said of a minor, and of nobody else")
        if (self.kind == "joint") != (self.needed is not None) or (self.needed or 0) > len(self.speakers):
            raise ValueError("how many are needed is said of joint holders, and no more than there are")
        if self.subject in self.speakers or len(set(self.speakers)) < len(self.speakers):
            raise ValueError("a speaker stands once, and is not the customer")
        if (self.kind == "own" and self.speakers) or (self.kind == "company" and not self.speakers):
            raise ValueError("a company has agents, and who speaks for itself has nobody to speak for it")
        return self


class Standing(Reply):
    """Who speaks for a customer, as it is on record."""

    kind: Literal["own", "minor", "joint", "company"]
    speakers: tuple[str, ...] = ()
    of_age_from: int | None = None
    needed: int | None = None


class Act(Reply):
    """Something a customer did other than in an app of its own, its sealed record opened.

    Attributes:
        kind: `give`, `renew`, `narrow`, `approve`, `refuse`, `defer`, `pause`, `stop`, `see`, `erase`, `dispute`,
            `match` or `answer`.
        receipt: the receipt it is about, "" for none.
        state: `done`, or `open` where somebody has to act on it, then `granted` or `declined`.
        because: why it was declined, as `Declined` has it; "" otherwise.
        correction: what was corrected since it was granted, "" for nothing.
        answered_at: when it was answered, seconds since 1970-01-01 UTC; null where it was not.
        answer_by: when an answer is due; null where nothing was asked for.
        delayed: why that is later than a month, as `Delayed` has it; "" where it is not.
        commitment: of the record, as the receipt's evidence holds it.
    """

    act: str
    kind: str
    receipt: str
    state: str
    at: int
    commitment: str
    opening: Opening
    because: str = ""
    correction: str = ""
    answered_at: int | None = None
    answer_by: int | None = None
    delayed: str = ""


class Acts(Reply):
    """What one customer did other than in an app, oldest first."""

    acts: tuple[Act, ...]


class WriteLetter(Request):
    """Make a one-time code for a customer, to be sent to the address on file."""

    subject: Subject


class Letter(Reply):
    """A letter's code: good once, for one customer."""

    letter: str
    code: str
    expires_at: int


class Serve(Request):
    """What a customer without an app asks for, by letter, on the phone or at a desk.

    Attributes:
        subject: our own id of the customer, as it says it.
        code: of the letter, as it tells it.
        kind: `see` all receipts, `refuse`, `stop` or `dispute` one, or ask that we `erase` everything.
        receipt: which one is refused, stopped or disputed.
        words: of a dispute, the customer's own; sealed.
        by: who speaks for the customer, where it is not itself.
    """

    subject: Subject
    code: Annotated[str, Field(min_length=1, max_length=CODE_TOLD_MAX_CHARS)]
    channel: Channel
    agent: Agent
    kind: Literal["see", "refuse", "stop", "erase", "dispute"]
    receipt: ReceiptId | None = None
    words: Annotated[str, Field(min_length=1, max_length=2_000)] | None = None
    by: Subject | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Serve":
        if (self.receipt is not None) != (self.kind in ("refuse", "stop", "dispute")):
            raise ValueError("one receipt is refused, stopped or disputed; all of them are seen or erased")
        if (self.words is not None) != (self.kind == "dispute"):
            raise ValueError("a dispute has words, and nothing else has")
        return self


class Served(Proven):
    """What was done.

    Attributes:
        act: the id under which it is on record.
        state: `done`, or `open` where somebody of ours has to act on it.
        receipts: the one that changed, or all that the customer wanted to see, each with its notice word for word.
    """

    act: str
    state: Literal["done", "open"]
    receipts: tuple[Receipt, ...] = ()


class OpenRequest(Reply):
    """What a customer without an app asked for, and nobody has answered.

    Attributes:
        kind: to `erase` everything, or a `dispute` about a receipt; `acts.find` has the words.
        receipt: the disputed one, "" for none.
        answer_by: until when, seconds since 1970-01-01 UTC: a month, or three where it is delayed (GDPR article 12(3)).
        delayed: why it takes longer, as `Delayed` has it; "" where it does not.
    """

    request: str
    kind: str
    subject: str
    receipt: str
    asked_at: int
    answer_by: int
    overdue: bool
    delayed: str = ""


class OpenRequests(Page):
    """A page of requests, what is due first at the front."""

    requests: tuple[OpenRequest, ...]


class AnswerRequest(Request):
    """Answer a request; one to be erased that is granted erases.

    Attributes:
        because: why it is declined.
        correction: what was corrected since it is granted.
        agent: our own id of who decided; sealed.
    """

    subject: Subject
    request: Annotated[str, Field(pattern=r"^act_[a-z2-7]{26}$")]
    outcome: Literal["granted", "declined"]
    because: Declined | None = None
    correction: CorrectionId | None = None
    agent: Agent

    @model_validator(mode="after")
    def _whole(self) -> "AnswerRequest":
        if (self.because is not None) != (self.outcome == "declined"):
            raise ValueError("a ground is named where a request is declined, and nowhere else")
        if self.correction is not None and self.outcome != "granted":
            raise ValueError("something is corrected where a request is granted")
        return self


class Answered(Reply):
    """What was answered.

    Attributes:
        erasures: of one that is erased by it: how far that is, one a link.
    """

    request: str
    state: Literal["granted", "declined"]
    answered_at: int
    erasures: tuple[Erasure, ...] = ()


class DelayAnswer(Request):
    """The answer to a request or a contest takes longer than a month, and the customer was told so, and why.

    Attributes:
        of: the request or the contest.
        because: why; the law knows these reasons and no other.
        channel: how the customer was told.
        agent: our own id of who decided and told; sealed.
    """

    subject: Subject
    of: Annotated[str, Field(pattern=r"^(act|cts)_[a-z2-7]{26}$")]
    because: Delayed
    channel: Channel | Literal["app"]
    agent: Agent


class AnswerDelayed(Reply):
    """That an answer takes longer.

    Attributes:
        answer_by: when it is due, seconds since 1970-01-01 UTC.
    """

    of: str
    because: Delayed
    answer_by: int


class MatchLink(Request):
    """Take an offer that somebody brought who is not logged in, for the customer that we find.

    Attributes:
        offer: the code in the letter.
        candidates: our own ids of all the customers that it can be.
        hint: what the owner recognises our account by.
        login: how the clerk was logged in.
    """

    offer: OfferCode
    candidates: Annotated[tuple[Subject, ...], Field(max_length=CANDIDATES_MAX, strict=False)]  # JSON has arrays alone
    hint: Hint
    login: Login
    channel: Channel
    agent: Agent


class FindMatch(Request):
    """What became of one offer."""

    offer: OfferCode


class Match(Reply):
    """What became of an offer that was brought by letter.

    Attributes:
        state: `pending` while the partner has not answered, `matched` once there is a link, `ambiguous` where it could
            be several customers, `rejected` where it was none, or the offer could not be taken.
        link: where there is one.
    """

    state: Literal["pending", "matched", "ambiguous", "rejected"]
    link: str | None = None


class Shown(Reply):
    """What the subject of a receipt was shown, word for word, to be shown again.

    Attributes:
        notice: the words; `silence` says what the recipient can tell from no answer.
        digest: of the words, as the receipt's terms bind it.
        terms: digest of the terms, as both ledgers carry it.
    """

    receipt: str
    version: int
    partner: str
    notice: Notice
    digest: str
    terms: str


class ReceiptExport(Reply):
    """A receipt in the words of another standard: a copy to read, and not the receipt.

    Attributes:
        form: `fhir` is an HL7 FHIR R5 Consent, `fdx` an FDX 6.2 consent grant.
    """

    form: Literal["fhir", "fdx"]
    document: dict[str, Any]
