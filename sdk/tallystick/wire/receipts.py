"""Receipts on the wire: asked for, answered, changed and stopped.

Source: DESIGN flow 3, API section 6.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tallystick.wire.base import Page, Proven, Reply, Request, Subject
from tallystick_consent.events.shapes import Token
from tallystick_consent.fields import DATA_CLASSES_MAX, DataClass, LinkId, Rung, Seconds
from tallystick_consent.receipts.authority import Authority
from tallystick_consent.receipts.evidence import Evidence, Testimony
from tallystick_consent.receipts.receipt import Notice
from tallystick_consent.receipts.resources import RESOURCES_MAX, Resource, ResourceKind


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


class NamedResource(Request):
    """One of our own resources, as we call it ourselves: an account, for example. It never leaves our node so.

    Attributes:
        name: as events name it.
    """

    kind: ResourceKind
    name: Token


ResourcesNamed = Annotated[list[NamedResource], Field(min_length=1, max_length=RESOURCES_MAX)]


class GiveReceipt(_Yes):
    """The subject gives consent, or the next version that was asked for.

    Attributes:
        evidence: what the app saw itself.
        testimony: what it was told of what a clerk heard or a form says; one of the two is there.
        by: who says yes for the subject, by our own id; absent where the subject speaks for itself.
        resources: what alone it is given for, of what was asked about; absent for all of that.
    """

    by: Subject | None = None
    resources: ResourcesNamed | None = None


YesStep = Literal["give", "renew", "give_version"]
"""What a yes is to: the request, the receipt as it stands once more, or the next version that was asked for."""


class ApproveReceipt(_Yes):
    """One of several holders says yes; the last one gives.

    Attributes:
        by: who, by our own id.
        step: what to; an approval counts for exactly that, as it is now.
        resources: as the giving will name them.
    """

    by: Subject
    step: YesStep = "give"
    resources: ResourcesNamed | None = None

    @model_validator(mode="after")
    def _picks(self) -> Self:
        if self.step == "renew" and self.resources is not None:
            raise ValueError("a renewal is of the resources as they are")
        return self


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
    """The subject puts off the answer to a request, or who speaks for it."""

    subject: Subject
    by: Subject | None = None


class PauseReceipt(Request):
    """The subject stops for a while, or who speaks for it: nothing is issued or delivered until it says yes again."""

    subject: Subject
    by: Subject | None = None


class RenewReceipt(_Yes):
    """The subject says yes again: after a pause, or before the consent would pause itself.

    Attributes:
        by: who says yes for the subject, by our own id; absent where the subject speaks for itself.
    """

    by: Subject | None = None


class NarrowReceipt(_Yes):
    """The subject takes a part back; what is not named stays as it is.

    Any one may who may stop; of a receipt that is paused only who may give, since it goes on by that.

    Attributes:
        by: who acts for the subject, by our own id; absent where the subject speaks for itself.
        without_classes: data classes that may not be evaluated any more.
        without_resources: what the receipt is no longer about, of the resources that it names.
        resources: what alone it is about from now on.
        rung: the most revealing answer from now on.
        events_until: the new end of the range of event times, exclusive.
    """

    by: Subject | None = None
    without_classes: Annotated[list[DataClass], Field(max_length=DATA_CLASSES_MAX)] = Field(
        default_factory=list[DataClass]
    )
    without_resources: Annotated[list[NamedResource], Field(max_length=RESOURCES_MAX)] = Field(
        default_factory=list[NamedResource]
    )
    resources: ResourcesNamed | None = None
    rung: Rung | None = None
    events_until: Seconds | None = None


class FindResources(Request):
    """How the link of a receipt calls some of our resources: a wallet signs terms with these names."""

    subject: Subject
    resources: ResourcesNamed


class RequestVersion(Request):
    """Ask the subject for a next version: all that the program permits, from now on.

    Attributes:
        resources: `same`: about those that it is about now; `any`: about all there is, of which the subject picks.
    """

    resources: Literal["same", "any"] = "same"


class RevokeReceipt(Request):
    """A partner ends a receipt, or takes back its request; it is nobody's yes or no."""


class InvalidateReceipt(Request):
    """The partner where a receipt was given finds that the giving never was one."""


class FindReceipts(Request):
    """Receipts of one customer, or of one link."""

    subject: Subject | None = None
    link: LinkId | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.subject is None) == (self.link is None):
            raise ValueError("receipts are found by their customer, or by their link")
        return self


class Receipt(Proven):
    """A receipt as a node holds it.

    Attributes:
        terms: what it permits, as `tallystick_consent.receipts.receipt.Terms` writes it.
        notice: the exact words shown, whose digest the terms bind.
        partner_hint: what the owner recognises the other account by.
        acknowledged_at: when the other partner says it signed the giving; None: not yet acknowledged.
        ended_at: when it was withdrawn, refused or expired here.
        end_acknowledged_at: when the other partner says it signed the ending; None: not yet acknowledged.
        uses: how many answers were given under it here, or taken.
        confirm_by: when it pauses itself unless the subject has said yes again; None where it does not, or not here.
        unacknowledged_since: when the last step was taken here, where the other partner has not signed for it yet.
        signed: digest of the signed receipt or renewal that is the last yes, "" before there is one; the next yes names
            it, and a wallet signs that.
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
    signed: str = ""


class Resources(Reply):
    """Resources as a link calls them, in the order in which they were named."""

    resources: tuple[Resource, ...]


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
        due: when its signature must be in our ledger; None of what the subject gave, which is not live until then.
        overdue: whether that time has passed.
    """

    receipt: str
    partner: str
    state: str
    since: int
    refused: bool
    due: int | None = None
    overdue: bool = False


class Unacknowledged(Page):
    """A page of steps that partners have not signed for, those that wait longest first."""

    steps: tuple[UnacknowledgedStep, ...]


class Duty(Reply):
    """What a node, where it receives, keeps of a receipt until a time.

    Attributes:
        partner: who answers under the receipt.
        field: `answers`, `evidence` or `accounting`.
        ground: why: `consent`, `legal_claims` or `legal_obligation`.
        claim: of an answer, its digest; else "".
        due: until when, seconds since 1970-01-01 UTC; of an answer at the latest, since it goes with the receipt's end.
        owed: whether that time has come, and it is still held.
        overdue: whether it came longer ago than an audit lets pass.
    """

    receipt: str
    partner: str
    field: str
    ground: str
    claim: str
    due: int
    owed: bool
    overdue: bool


class Duties(Page):
    """A page of what a node keeps of receipts under which it receives, the first due first."""

    duties: tuple[Duty, ...]


class Receipts(Reply):
    """Receipts of one customer or link."""

    receipts: tuple[Receipt, ...]
