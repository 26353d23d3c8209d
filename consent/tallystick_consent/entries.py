"""The bodies of the ledger entries that this floor owns, each strictly typed.

Pure. Nothing here identifies a person, and nothing tells a place, a count or a time of a visit: an auditor reads all
of it. Kinds that are not here (and not the ledger floor's) are reported as unchecked, never skipped silently.

Source: DESIGN section 4.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from tallystick_consent.erasure import RECEIPTS_MAX, ErasureId, ErasureRequest
from tallystick_consent.fields import (
    AgreementId,
    Asset,
    DataClasses,
    Digest,
    Host,
    ProgramName,
    ReceiptId,
    Rung,
    Seconds,
    Sparse,
    Strict,
    Version,
)
from tallystick_consent.places import EventPlace, Index, LogOrigin
from tallystick_consent.receipts.receipt import NO_LIMITS, Limits, Resources, Terms
from tallystick_consent.receipts.retention import RetainedField, Retentions
from tallystick_consent.rules.linter import FIGURES_MAX, AskedFigure
from tallystick_consent.rules.periods import PERIOD_NAME_PATTERN
from tallystick_ledger.encoding import canonical_json
from tallystick_ledger.errors import EntryMalformed
from tallystick_ledger.opening import Carried

PeriodName = Annotated[str, Field(pattern=PERIOD_NAME_PATTERN)]
KeyName = Annotated[str, Field(pattern=r"^([a-z-]{3,10}-[0-9a-f]{8})?$")]
Purpose = Annotated[str, Field(pattern=r"^dpv:[A-Za-z]{1,60}$")]


DISCHARGED_MAX = 1_000
"""Answers that one entry says are discharged."""


class Body(Strict):
    """A body of an entry, or of a record that an opening carries."""

    def document(self) -> dict[str, Any]:
        """Return the body as JSON values."""
        return self.model_dump(mode="json")


class EventBody(Body):
    """A journey event: its commitment alone. Type, time, subject and receipt lie inside the sealed payload."""

    commitment: Digest


class Signature(Body):
    """That the other partner signed: when it says it did, and the digest of what it signed."""

    at: Seconds
    digest: Digest


class SoFar(Body):
    """What counts against a receipt's limits.

    Attributes:
        uses: how many answers it has given.
        confirmed_at: when the subject last said yes; 0 where that has no end.
    """

    uses: Annotated[int, Field(ge=0)]
    confirmed_at: Seconds


class ReceiptBody(Sparse, Body):
    """One step in the life of a receipt.

    Attributes:
        terms: digest of the terms.
        signed: digest of the signed receipt, pause or ending; "" where nothing was signed.
        acknowledgement: where this step records that the other partner signed.
        previous: digest of the terms of the version before; "" in the first.
        limits: what narrows it further, as in the terms.
        so_far: in an opening, at the issuer, where there are such limits: what counts against them.
        deliverable: where this step stops answers: digests of the claims that may still be delivered, or that had
            already left when it was taken.
        acknowledge_by: where this step tells the other partner to stop: when its signature must be in the log.
        earned: of a withdrawal: whether what was earned until then is settled, or dropped; "" before nodes said so.
        resources: what alone it is about, as in the terms; None: all there is.
        retention: what the recipient keeps, why, and until when, as in the terms.
        crossed: the other partner's stop met a receipt that had ended here: it is signed for, and changes nothing.
    """

    LATER = frozenset({"acknowledge_by", "crossed", "earned", "limits", "previous", "resources", "retention", "so_far"})

    receipt: ReceiptId
    version: Version
    state: Literal[
        "requested",
        "deferred",
        "given",
        "renewed",
        "paused",
        "refused",
        "withdrawn",
        "revoked",
        "invalidated",
        "expired",
    ]
    issuer: Host
    recipient: Host
    program: ProgramName
    program_version: Version
    purposes: Annotated[tuple[Purpose, ...], Field(min_length=1, max_length=8)]
    data_classes: DataClasses
    rung: Rung
    events_from: Seconds
    events_until: Seconds
    valid_from: Seconds
    valid_until: Seconds
    grade: Literal["wallet_key", "app_asserted", "clerk", "signed_form", ""]
    terms: Digest
    signed: Digest | Literal[""] = ""
    acknowledgement: Signature | None = None
    deliverable: Annotated[tuple[Digest, ...], Field(max_length=1_000)] = ()
    limits: Limits = NO_LIMITS
    previous: Digest | Literal[""] = ""
    so_far: SoFar | None = None
    acknowledge_by: Seconds | None = None
    earned: Literal["drop", "settle_earned", ""] = ""
    resources: Resources | None = None
    crossed: bool = False
    retention: Retentions = ()


class DisclosureBody(Sparse, Body):
    """An answer that was issued, delivered or withheld: which one, and under which receipt.

    Attributes:
        receipt_leaf: index of the entry that made the receipt live here (its acknowledgement).
        claim: digest of the claim.
        use: how many answers this receipt has given, this one included; the same answer in another claim is no more.
        supersedes: digest of an expired claim for the same nullifier that this one replaces; "" for none.
        acceptance: digest of the recipient's signed acceptance, where delivered.
        correction: id of the entry of the correction because of which it was revoked, or was issued after its period
            had been answered; "" for none, and left out then. Of what was issued, the entry of its delivery names it:
            its recipient is shown that of its issue, and others are answered because of the same correction (P6).
        key: id of the key that signed the claim; "" in the entries of version 0.1.
    """

    LATER = frozenset({"correction"})

    receipt: ReceiptId
    receipt_leaf: Index
    recipient: Host
    purpose: Purpose
    rung: Rung
    program: ProgramName
    program_version: Version
    period: PeriodName
    claim: Digest
    nullifier: Digest
    use: Annotated[int, Field(ge=1)]
    state: Literal["issued", "delivered", "withheld", "revoked"]
    supersedes: Digest | Literal[""] = ""
    acceptance: Digest | Literal[""] = ""
    key: KeyName = ""
    correction: Annotated[str, Field(pattern=r"^([a-z]{3}_[a-z2-7]{26})?$")] = ""


class CorrectionBody(Body):
    """That an event was recorded wrongly, or not in time.

    Attributes:
        wrong: the event that does not count any more; None where one was missing.
        right: the event that counts in its place; None where nothing does.
        signed: digest of the signed correction.
    """

    wrong: EventPlace | None
    right: EventPlace | None
    signed: Digest


class RetractionBody(Body):
    """That a claim, which was taken here, was revoked by its issuer because of a correction.

    Attributes:
        signed: digest of the issuer's signed retraction.
    """

    issuer: Host
    receipt: ReceiptId
    claim: Digest
    nullifier: Digest
    signed: Digest


class DischargeBody(Sparse, Body):
    """That a recipient has discharged a duty: it holds a field no longer.

    Attributes:
        claims: of answers, which ones; left out of other fields.
    """

    LATER = frozenset({"claims"})

    receipt: ReceiptId
    field: RetainedField
    claims: Annotated[tuple[Digest, ...], Field(max_length=DISCHARGED_MAX)] = ()


class AcceptanceBody(Body):
    """That a claim was taken, written before it was used.

    Attributes:
        receipt_leaf: index of the entry that made the receipt live here.
        log: origin of the issuer's log.
        disclosure_leaf: index there of the entry that issued the claim.
        key: id of the key that signed the acceptance; "" in the entries of version 0.1.
    """

    receipt: ReceiptId
    receipt_leaf: Index
    issuer: Host
    purpose: Purpose
    rung: Rung
    program: ProgramName
    program_version: Version
    period: PeriodName
    claim: Digest
    nullifier: Digest
    log: LogOrigin
    disclosure_leaf: Index
    key: KeyName = ""


class Tells(Sparse, Body):
    """What the answers of a program tell, as the rules' linter finds it.

    Attributes:
        alone: the rung of what they tell by themselves, repetition and the size of the reward included.
        figures: what is asked about, and where answers cut it: what several programs tell together follows from these.
        whole: whether an answer is true of a period only where all of it was looked at: of a part of it, "at most
            three" may be said of anybody. Left out where a yes about a part is one about the whole.
    """

    LATER = frozenset({"whole"})

    alone: Rung
    figures: Annotated[tuple[AskedFigure, ...], Field(max_length=FIGURES_MAX)]
    whole: bool = False


class ProgramBody(Sparse, Body):
    """A version of a program, by digest, and what an auditor must know of it.

    Attributes:
        tells: None in the entries of version 0.1.
    """

    LATER = frozenset({"tells"})

    program: ProgramName
    program_version: Version
    digest: Digest
    payer: Host
    purpose: Purpose
    rung: Rung
    asset: Asset
    reward: Annotated[int, Field(ge=1, lt=2**53)]
    budget: Annotated[int, Field(ge=1, lt=2**53)]
    tells: Tells | None = None


class AgreementBody(Body):
    """That two partners signed a program: the digest of the signed object, and whose signature it is."""

    agreement: AgreementId
    program: ProgramName
    program_version: Version
    digest: Digest
    payer: Host
    issuer: Host
    signed: Digest
    signer: Host


class ErasureBody(Body):
    """That the subject of a link was erased at one end, and that the other end attested to its part.

    Attributes:
        erasure: names this request and no other: one a link, so that no two links can be told to be one person's.
        state: `erased` at `origin`, where the subject asked; `attested` once `partner` has signed, in both ledgers.
        receipts: of the link; answers under them are over.
        request: digest of the signed request.
        attestation: that the partner signed, where attested.
    """

    erasure: ErasureId
    state: Literal["erased", "attested"]
    origin: Host
    partner: Host
    receipts: Annotated[tuple[ReceiptId, ...], Field(max_length=RECEIPTS_MAX)]
    request: Digest
    attestation: Signature | None = None

    @model_validator(mode="after")
    def _signed_where_attested(self) -> "ErasureBody":
        if (self.state == "attested") != (self.attestation is not None):
            raise ValueError("an erasure is attested by a signature")
        return self


BODIES: dict[str, type[Body]] = {
    "event": EventBody,
    "receipt": ReceiptBody,
    "disclosure": DisclosureBody,
    "acceptance": AcceptanceBody,
    "discharge": DischargeBody,
    "correction": CorrectionBody,
    "retraction": RetractionBody,
    "program": ProgramBody,
    "agreement": AgreementBody,
    "erasure": ErasureBody,
}


class CarriedDisclosure(Body):
    """An answer that an opening carries, since it may still be delivered; its `receipt_leaf` is one of the new log.

    Attributes:
        at: when it was issued.
    """

    disclosure: DisclosureBody
    at: Seconds


class CarriedAnswer(Body):
    """An answer that an opening carries, since its nullifier is spent.

    Attributes:
        state: what became of it: `delivered`, `withheld` or `revoked` at its issuer, `accepted` or `retracted` at its
            recipient.
        at: when it was issued, or accepted.
    """

    claim: Digest
    nullifier: Digest
    state: Literal["delivered", "withheld", "revoked", "accepted", "retracted"]
    at: Seconds


class DutyBody(Sparse, Body):
    """A duty of a recipient that an opening carries, since it is not discharged.

    Attributes:
        claim: of an answer, which one; left out of other fields.
        due: until when it may be kept.
    """

    LATER = frozenset({"claim"})

    receipt: ReceiptId
    field: RetainedField
    claim: Digest | Literal[""] = ""
    due: Seconds


CARRIED: dict[str, type[Body]] = {
    "duty": DutyBody,
    "program": ProgramBody,
    "receipt": ReceiptBody,
    "disclosure": CarriedDisclosure,
    "answer": CarriedAnswer,
    "erasure": ErasureBody,
}
"""Records of an opening that this floor owns."""


def parse_body(kind: str, body: Mapping[str, Any]) -> Body:
    """Return the typed body of an entry of a kind in `BODIES`.

    Raises:
        EntryMalformed: the body is not of its form.
    """
    return _parse(BODIES[kind], body, _entry_named(kind))


def parse_spelled(kind: str, raw: bytes) -> Body:
    """Return the typed body of an entry of a kind in `BODIES`, from its bytes, which are known to be canonical JSON.

    Raises:
        EntryMalformed: the body is not of its form.
    """
    try:
        body: Body = _VALIDATORS[kind].validate_json(raw)
    except ValidationError as error:
        raise _not_of_its_form(_entry_named(kind)) from error
    _share_names(body)
    if type(body) is ReceiptBody and body.acknowledgement is not None:
        _share_names(body.acknowledgement)
    return body


def parse_carried(record: Carried) -> Body:
    """Return the typed body of a record that an opening carries, of a kind in `CARRIED`.

    Raises:
        EntryMalformed: the body is not of its form.
    """
    return _parse(CARRIED[record.kind], record.body, f"A record of kind {record.kind} in an opening")


def _parse(model: type[Body], body: Mapping[str, Any], named: str) -> Body:
    try:
        return model.model_validate_json(canonical_json(dict(body)))
    except ValidationError as error:
        raise _not_of_its_form(named) from error


_VALIDATORS = {kind: TypeAdapter(model).validator for kind, model in BODIES.items()}
"""What `model_validate_json` calls, without the way there: it is asked for every entry of an audit."""


def _share_names(body: Body) -> None:
    """Let a body share the set of its members' names with all others of its kind: that set is the most that it takes,
    an audit remembers every body, and which members were spelled out says nothing here."""
    object.__setattr__(body, "__pydantic_fields_set__", _MEMBERS[type(body)])


_MEMBERS: dict[type[Body], set[str]] = {
    Signature: set(Signature.model_fields),
    **{model: set(model.model_fields) for model in BODIES.values()},
}


def _entry_named(kind: str) -> str:
    return f"The body of an entry of kind {kind}"


def _not_of_its_form(named: str) -> EntryMalformed:
    return EntryMalformed(f"{named} is not of its form.", remedy="Write it with this version's node.")


def receipt_body(
    terms: Terms,
    state: str,
    *,
    grade: str = "",
    signed: str = "",
    acknowledgement: Signature | None = None,
    deliverable: tuple[str, ...] = (),
    acknowledge_by: int | None = None,
    earned: str = "",
    crossed: bool = False,
) -> ReceiptBody:
    """Return the body of one step of the receipt with these terms."""
    return ReceiptBody.model_validate(
        {
            "receipt": terms.receipt,
            "version": terms.version,
            "state": state,
            "issuer": terms.issuer,
            "recipient": terms.recipient,
            "program": terms.program,
            "program_version": terms.program_version,
            "purposes": terms.purposes,
            "data_classes": terms.data_classes,
            "rung": terms.rung,
            "events_from": terms.events_from_s,
            "events_until": terms.events_until_s,
            "valid_from": terms.valid_from_s,
            "valid_until": terms.valid_until_s,
            "grade": grade,
            "terms": terms.digest(),
            "signed": signed,
            "acknowledgement": acknowledgement,
            "deliverable": deliverable,
            "limits": terms.limits,
            "previous": terms.previous or "",
            "acknowledge_by": acknowledge_by,
            "earned": earned,
            "resources": terms.resources,
            "crossed": crossed,
            "retention": terms.retention,
        }
    )


def erasure_body(request: ErasureRequest, *, signed: str, attestation: Signature | None = None) -> ErasureBody:
    """Return the body of one step of an erasure.

    Args:
        request: what was asked.
        signed: digest of the request as it was signed.
        attestation: that the partner signed its answer; None where it has not yet.
    """
    return ErasureBody(
        erasure=request.erasure,
        state="erased" if attestation is None else "attested",
        origin=request.origin,
        partner=request.partner,
        receipts=request.receipts,
        request=signed,
        attestation=attestation,
    )
