"""The shapes that cross HTTP: what apps and partners send a node, and what it answers.

They live here once, for clients and nodes alike. Requests are strict: an unknown member, or a value of another type, is
refused. Replies are read leniently in one way only: a member that this version does not know is passed over.

Source: API (HTTP surface), RFC 9457 (problems), CONSTRUCTIONS (links).
"""

from typing import Annotated, Any, Literal, Self, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from tallystick_consent.authority import Authority
from tallystick_consent.erasure import FieldAnswer
from tallystick_consent.evidence import Evidence, Testimony
from tallystick_consent.receipt import (
    DataClass,
    Digest,
    Host,
    LinkId,
    Notice,
    ProgramName,
    ReceiptId,
    Rung,
    Seconds,
    Version,
)

IDEMPOTENCY_KEY_MAX_CHARS = 128
REQUEST_SIZE_MAX_BYTES = 512 * 1024
PROBLEM_BASE = "https://tallystick.dev/problems/"

Scope = Literal[
    "links:write",
    "receipts:read",
    "receipts:write",
    "events:read",
    "events:write",
    "programs:read",
    "programs:write",
    "claims:read",
    "claims:write",
    "rewards:read",
    "subjects:read",
    "subjects:erase",
    "subject:assert",
    "desk:write",
    "audit:read",
]
"""What an app's key may be allowed; `subject:assert` lets the app vouch for who is logged in, and with `desk:write` a
letter's code has to."""

SCOPES: tuple[Scope, ...] = Scope.__args__  # type: ignore[attr-defined]

Subject = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:@-]{1,120}$")]
"""A partner's own id of its customer. It stands in bodies, never in URLs."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a text that people read has no control characters")
    return text


Hint = Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_printable)]
"""What the owner of an account recognises it by, and nobody else, such as `policy ending 21`."""

Login = Literal["aal1", "aal2", "aal3"]
OfferCode = Annotated[str, Field(pattern=r"^[a-z0-9.:-]{1,255}~[a-z0-9-]{1,40}~[a-z2-7]{26}$")]
"""`HOST~PROGRAM~CODE`: whose offer it is, what it is for, and 128 random bits."""
Secret = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
PeriodName = Annotated[str, Field(pattern=r"^(19[7-9][0-9]|[2-8][0-9]{3})-(0[1-9]|1[0-2])$")]
"""A calendar month, such as `2027-03`."""

DOCUMENT_DEPTH_MAX = 32
"""How deep values may lie in a document whose own schema is checked later."""


def _bounded_depth(document: dict[str, Any]) -> dict[str, Any]:
    """Refuse what is nested deeper than anything here has to be; walks a level at a time, so ours is no deeper."""
    level: list[object] = [document]
    for _ in range(DOCUMENT_DEPTH_MAX + 1):
        level = [value for each in level for value in _inside(each)]
    if level:
        raise ValueError("a document is nested too deep")
    return document


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(cast("dict[str, object]", value).values())
    return cast("list[object]", value) if isinstance(value, list) else []


Document = Annotated[dict[str, Any], AfterValidator(_bounded_depth)]


class Request(BaseModel):
    """A body that somebody sends us."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Reply(BaseModel):
    """A body that a node answers with."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class EntryProof(Reply):
    """One ledger entry, where it stands, and the proof that it does.

    Attributes:
        entry: the exact text that is hashed.
        proof: a `.tlog-proof` file against a signed head.
    """

    index: int
    entry: str
    proof: str


class Proven(Reply):
    """An answer to a write: the entries it made in the node's ledger, each with its proof."""

    proofs: tuple[EntryProof, ...] = ()


# Links


class OfferLink(Request):
    """Begin a link: our app, with its customer logged in, asks for an offer to carry to the partner's app.

    Attributes:
        challenge: base64url SHA-256 of a verifier that the session keeps (RFC 7636, S256).
        channel: `letter` where the offer goes to the address on file, and is good for thirty days; our back office is
            the session then.
    """

    subject: Subject
    partner: Host
    program: ProgramName
    hint: Hint
    login: Login
    challenge: Secret
    channel: Literal["app", "letter"] = "app"


class AcceptLink(Request):
    """Take an offer: the partner's app, with the same person logged in."""

    subject: Subject
    offer: OfferCode
    hint: Hint
    login: Login


class ConfirmLink(Request):
    """End what an offer began, in the session that began it."""

    offer: OfferCode
    verifier: Secret


class FindBySubject(Request):
    """Everything of one kind about one customer of this company."""

    subject: Subject


class LinkOffer(Reply):
    """An offer: single use, ten minutes."""

    offer: str
    partner: str
    program: str
    expires_at: int


class Link(Reply):
    """The pairwise pseudonym of one customer between two partners.

    Attributes:
        role: which end this node is: the `issuer` of claims, or their `recipient`.
        partner_hint: what the owner recognises the other account by.
    """

    link: str
    partner: str
    program: str
    role: Literal["issuer", "recipient"]
    state: Literal["pending", "active", "ended"]
    partner_hint: str
    created_at: int


class Links(Reply):
    """Links of one customer."""

    links: tuple[Link, ...]


# Receipts


class RequestReceipt(Request):
    """Ask the subject of a link for consent to what its program needs.

    Attributes:
        events_from: from which event time on; now, where it is absent.
        authority: on whose word the receipt is to stand, where that is not the subject's own.
        of_age_from: of a minor: when a guardian's receipt ends at the latest.
    """

    link: LinkId
    events_from: Seconds | None = None
    authority: Authority | None = None
    of_age_from: Seconds | None = None

    @model_validator(mode="after")
    def _whole(self) -> "RequestReceipt":
        if (self.authority is not None and self.authority.kind == "guardian") != (self.of_age_from is not None):
            raise ValueError("when one comes of age is said where a guardian answers, and nowhere else")
        return self


class _Yes(Request):
    """Somebody says yes, and how that was seen: by the app itself, or as it was told."""

    subject: Subject
    evidence: Evidence | None = None
    testimony: Testimony | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.evidence is None) == (self.testimony is None):
            raise ValueError("a yes was seen by the app, or told to it")
        return self

    @property
    def told(self) -> Evidence | Testimony:
        """How it was seen."""
        told = self.evidence or self.testimony
        assert told is not None, "one of the two is there"
        return told


class GiveReceipt(_Yes):
    """The subject gives consent.

    Attributes:
        evidence: what the app saw itself.
        testimony: what it was told of what a clerk heard or a form says; one of the two is there.
        by: who says yes for the subject, by our own id; absent where the subject speaks for itself.
    """

    by: Subject | None = None


class ApproveReceipt(_Yes):
    """One of several holders says yes; the last one gives.

    Attributes:
        by: who, by our own id.
    """

    by: Subject


class RefuseReceipt(Request):
    """The subject says no, or who speaks for it."""

    subject: Subject
    by: Subject | None = None


class WithdrawReceipt(Request):
    """The subject stops: `drop` issues and delivers nothing more; `settle_earned` first answers for the time until now,
    and lets what was earned leave when its period has closed."""

    subject: Subject
    earned: Literal["drop", "settle_earned"] = "drop"
    by: Subject | None = None


class DeferReceipt(Request):
    """The subject puts off the answer to a request."""

    subject: Subject


class PauseReceipt(Request):
    """The subject stops for a while: nothing is issued or delivered until it says yes again."""

    subject: Subject


class RenewReceipt(Request):
    """The subject says yes again: after a pause, or before the consent would pause itself."""

    subject: Subject
    evidence: Evidence


class NarrowReceipt(Request):
    """The subject takes a part back; what is not named stays as it is.

    Attributes:
        without_classes: data classes that may not be evaluated any more.
        rung: the most revealing answer from now on.
        events_until: the new end of the range of event times, exclusive.
    """

    subject: Subject
    evidence: Evidence
    without_classes: Annotated[list[DataClass], Field(max_length=32)] = Field(default_factory=list[DataClass])
    rung: Rung | None = None
    events_until: Seconds | None = None


class RequestVersion(Request):
    """Ask the subject for a next version: all that the program permits, from now on."""


class RevokeReceipt(Request):
    """A partner ends a receipt, or takes back its request; it is nobody's yes or no."""


class InvalidateReceipt(Request):
    """The partner where a receipt was given finds that the giving never was one."""


class FindReceipts(Request):
    """Receipts of one customer, or of one link."""

    subject: Subject | None = None
    link: LinkId | None = None


class Receipt(Proven):
    """A receipt as a node holds it.

    Attributes:
        terms: what it permits, as `tallystick_consent.receipt.Terms` writes it.
        notice: the exact words shown, whose digest the terms bind.
        partner_hint: what the owner recognises the other account by.
        acknowledged_at: when the other partner says it signed the giving; None: not yet acknowledged.
        ended_at: when it was withdrawn, refused or expired here.
        end_acknowledged_at: when the other partner says it signed the ending; None: not yet acknowledged.
        uses: how many answers were given under it here, or taken.
        confirm_by: when it pauses itself unless the subject has said yes again; None where it does not, or not here.
        unacknowledged_since: when the last step was taken here, where the other partner has not signed for it yet.
    """

    receipt: str
    version: int
    state: str
    partner: str
    terms: dict[str, Any]
    notice: Notice
    partner_hint: str
    acknowledged_at: int | None
    ended_at: int | None
    end_acknowledged_at: int | None
    unacknowledged_since: int | None = None
    uses: int = 0
    confirm_by: int | None = None


class ReceiptVersion(Reply):
    """One version of a receipt.

    Attributes:
        state: the receipt's own, for the version in force; of another `requested`, `refused`, `expired`, `superseded`,
            or how the receipt ended.
        difference: what it changes, a plain sentence each.
    """

    version: int
    state: str
    terms: dict[str, Any]
    difference: tuple[str, ...]


class ReceiptVersions(Reply):
    """Every version of a receipt, first to last."""

    versions: tuple[ReceiptVersion, ...]


class UnacknowledgedStep(Reply):
    """A step of a receipt that a partner has not signed for.

    Attributes:
        partner: who has not.
        state: what the receipt became by it.
        since: when it was taken here.
        refused: whether that partner's node has refused to take it, so that nobody goes on asking.
    """

    receipt: str
    partner: str
    state: str
    since: int
    refused: bool


class Unacknowledged(Reply):
    """Steps that partners have not signed for, those that wait longest first."""

    steps: tuple[UnacknowledgedStep, ...]
    has_more: bool


class Receipts(Reply):
    """Receipts of one customer or link."""

    receipts: tuple[Receipt, ...]


# Events


EventType = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,39}\.[a-z][a-z_]{0,39}$")]
EventId = Annotated[str, Field(pattern=r"^evt_[a-z2-7]{26}$")]


class RecordEvent(Request):
    """Something that happened on a subject's journey.

    Attributes:
        type: such as `visit.ended`.
        data: as the type's schema has it (`tallystick_consent.events`).
        receipt: under which receipt it is kept; the node finds the one that covers it where this is absent.
    """

    subject: Subject
    type: EventType
    data: Document
    receipt: ReceiptId | None = None


class Opening(Reply):
    """What opens an event's commitment; for the app that recorded it, never for a partner.

    Attributes:
        salt: base64url, 32 bytes.
        payload: base64url of the sealed bytes, exactly.
    """

    salt: str
    media_type: str
    payload: str


class Event(Proven):
    """An event as it stands in the ledger: sealed, and committed to."""

    event: str
    type: str
    receipt: str
    recorded_at: int
    opening: Opening


class CorrectEvent(Request):
    """An event that was wrong, or missing: what counts in its place, or that nothing does.

    Attributes:
        event: the one that was wrong; None where one was missing.
        type, data: what counts, as for `RecordEvent`; None where nothing does.
        receipt: under which receipt that is kept; the node finds the one that covers it where this is absent.
    """

    subject: Subject
    event: EventId | None = None
    type: EventType | None = None
    data: Document | None = None
    receipt: ReceiptId | None = None

    @model_validator(mode="after")
    def _whole(self) -> "CorrectEvent":
        if (self.type is None) != (self.data is None) or (self.event is None and self.data is None):
            raise ValueError("a correction names a wrong event, or tells one whole, or both")
        return self


class CorrectionEffect(Reply):
    """What followed for one period of one receipt.

    Attributes:
        outcome: `stands`, `not_reached`, `issued`, `superseded`, `revoked`; or why nothing changes: `not_taken`,
            `too_late`, `future_only`, `not_permitted`.
    """

    receipt: str
    partner: str
    program: str
    period: str
    outcome: str


class Correction(Proven):
    """A correction as it stands in the ledger, and what followed from it.

    Attributes:
        correction: id of its entry.
        wrong: the event that does not count any more, if any.
        right: the event that counts, if any.
    """

    correction: str
    wrong: str | None
    right: str | None
    recorded_at: int
    effects: tuple[CorrectionEffect, ...]


# Programs


class PublishProgram(Request):
    """A new program, or a new version of one; `tallystick_consent.program.Program` says what it holds."""

    program: Document


class AcceptProgram(Request):
    """Sign a partner's program, named by the path.

    Attributes:
        payer: whose program it is, where two payers propose one of that name.
    """

    payer: Host | None = None


class Program(Proven):
    """A program as a node holds it.

    Attributes:
        agreed: the issuers that have signed it.
    """

    program: dict[str, Any]
    digest: str
    agreed: tuple[str, ...]


class Programs(Reply):
    """Every program that a node knows."""

    programs: tuple[Program, ...]


class Budget(Reply):
    """What a program may still pay in a period, in minor units of its asset."""

    program: str
    period: str
    asset: str
    limit: int
    posted: int
    reserved: int
    remaining: int


# Claims, rewards, reasons


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
        state: `issued`, `delivered`, `withheld` or `expired` where it was issued; `accepted` where it was received.
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


class Claims(Reply):
    """A page of claims, newest first."""

    claims: tuple[Claim, ...]
    has_more: bool
    next_cursor: str | None


class Reward(Reply):
    """A reward of one customer, and why.

    Attributes:
        amount: minor units.
        state: `posted`, or `waitlisted` where the budget was spent.
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
            what was told `stands`; where an event was corrected, that or `made_good`, or `taken_back`.
        counted: how many events counted.
        not_counted: how many did not, by the reason.
        reasons: why it was refused, each with what would have been permitted.
        band: the band that was found; None where the rule has none, or there was no answer.
        flags: what a person should look at, by how often, such as `implausible` days.
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
    flags: dict[str, int] = {}


class Decisions(Reply):
    """Decisions about one customer."""

    decisions: tuple[Decision, ...]


# Erasure


class EraseSubject(Request):
    """The subject wants everything about it gone. It cannot be undone, and the id is never used again."""

    subject: Subject


class ExportSubject(Request):
    """Everything about one customer, in one file.

    Attributes:
        events_from, events_until: only events that happened from the one time on and before the other; where there are
            more than one file holds.
    """

    subject: Subject
    events_from: Seconds | None = None
    events_until: Seconds | None = None


class FindErasures(Request):
    """How far the erasure of one customer is; without a subject, every erasure that is not attested."""

    subject: Subject | None = None


class Erasure(Reply):
    """The erasure of one link of a subject.

    Attributes:
        erasure: its id; once it was asked for, the one that the ledgers know.
        state: `due` until its time within 24 hours; `asked`; `attested`, or `refused` by the partner.
        due_at: when the ledger says it, and the partner is asked.
        attested_at: when the partner says it signed.
        overdue: whether the partner has had a month, and has not attested.
        fields: what the partner answered for each field.
    """

    erasure: str
    partner: str
    state: Literal["due", "asked", "attested", "refused"]
    due_at: int
    asked_at: int | None
    attested_at: int | None
    overdue: bool
    fields: tuple[FieldAnswer, ...] = ()


class Erasures(Reply):
    """Erasures, one a link."""

    erasures: tuple[Erasure, ...]


# Proofs against the published head


PROVEN_MAX = 256
"""How many entries one answer proves; a bundle has as many."""

TREE_SIZE_MAX = 2**63 - 1

Place = Annotated[int, Field(ge=0, lt=TREE_SIZE_MAX)]
"""A zero-based place in the ledger."""

TreeSize = Annotated[int, Field(ge=1, le=TREE_SIZE_MAX)]


class FindInclusions(Request):
    """Ask for the proofs of several entries, by their places."""

    indexes: Annotated[list[Place], Field(min_length=1, max_length=PROVEN_MAX)]


class Inclusion(Reply):
    """The proof of one entry.

    Attributes:
        hashes: sibling hashes in base64, leaf side first (RFC 6962, section 2.1.1).
        entry: the exact text that is hashed, where it was asked for.
    """

    index: int
    hashes: tuple[str, ...]
    entry: str | None = None


class Inclusions(Reply):
    """Proofs of several entries, in the order in which they were asked for.

    Attributes:
        checkpoint: the signed head that all of them lead to.
    """

    checkpoint: str
    inclusions: tuple[Inclusion, ...]


class FindRange(Request):
    """Ask for the entries [start, end), with one proof for all."""

    start: Place
    end: TreeSize


class EntryRange(Reply):
    """Entries that stand side by side.

    Attributes:
        checkpoint: the signed head that the proof leads to.
        start: place of the first entry.
        entries: the exact texts that are hashed.
        hashes: as `tallystick_ledger.tlog.ranges` has them, in base64.
    """

    checkpoint: str
    start: int
    entries: tuple[str, ...]
    hashes: tuple[str, ...]


class FindConsistency(Request):
    """Ask for the proof that the log at one size is the start of it at another.

    Attributes:
        new_size: None: the size of the published head.
    """

    old_size: TreeSize
    new_size: TreeSize | None = None


class Consistency(Reply):
    """The proof that the log at one size is the start of it at another.

    Attributes:
        checkpoint: the published, signed head; of `new_size` where no other was asked for.
        hashes: in base64 (RFC 6962, section 2.1.2).
    """

    checkpoint: str
    old_size: int
    new_size: int
    hashes: tuple[str, ...]


class FindSubtree(Request):
    """Ask for the hash of the subtree over leaves [start, end), and that it stands in the tree."""

    start: Place
    end: TreeSize


class SubtreeProof(Reply):
    """A subtree, and the proof that it stands in the tree (draft-ietf-plants-merkle-tree-certs).

    Attributes:
        checkpoint: the signed head that the proof leads to.
        hash: of the subtree, in base64.
        hashes: of the proof, in base64.
    """

    checkpoint: str
    start: int
    end: int
    hash: str
    hashes: tuple[str, ...]


# Between partners


class PeerLink(Request):
    """The issuer's half of a link secret, sealed to the recipient, for an offer it was shown."""

    offer: OfferCode
    half: dict[str, str]


class PeerLinked(Reply):
    """The recipient's half, sealed to the issuer."""

    half: dict[str, str]


class PeerLinkConfirmed(Request):
    """The session that began an offer has confirmed it."""

    link: LinkId


class PeerSigned(Request):
    """One signed object: a program, an agreement, a receipt, a withdrawal or a stop, as compact JWS."""

    token: Annotated[str, Field(min_length=1, max_length=65_536)]


class PeerReceiptRequested(Request):
    """What a recipient asks a subject to consent to."""

    terms: Document
    notice: Notice


class PeerReceiptRefused(Request):
    """The subject said no to a request."""

    receipt: ReceiptId


class PeerReceiptDeferred(Request):
    """The subject puts off the answer to a request."""

    receipt: ReceiptId


class PeerVersionRefused(Request):
    """The subject said no to a next version."""

    receipt: ReceiptId
    version: Version


class PeerClaim(Request):
    """A claim, and the proof that its issuer logged it before sending it.

    Attributes:
        claim: SD-JWT VC.
        salt: base64url, opens the claim's digest.
        entry: the issuer's `disclosure` entry, exactly.
        proof: a `.tlog-proof` file of that entry against a published head.
    """

    claim: Annotated[str, Field(min_length=1, max_length=65_536)]
    salt: Digest
    entry: Annotated[str, Field(min_length=1, max_length=65_535)]
    proof: Annotated[str, Field(min_length=1, max_length=131_072)]


class PeerAsk(Request):
    """A question; always answered alike."""

    link: LinkId
    program: ProgramName
    version: Version
    period: PeriodName


class PeerAcknowledged(Reply):
    """The recipient's signed acknowledgement or acceptance, as compact JWS; "" where none is due."""

    token: str = ""


class Problem(BaseModel):
    """What went wrong, by RFC 9457, and what to do about it.

    Attributes:
        code: stable; one for each decision a client can take.
        retryable: whether the same request may succeed later.
        server_time: the node's clock, where the caller's may be wrong.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: str
    title: str
    status: int
    detail: str
    code: str
    remedy: str
    request_id: str = ""
    retryable: bool = False
    retry_after: int | None = None
    server_time: int | None = None
    existing_id: str | None = None
    errors: tuple[dict[str, str], ...] = ()
