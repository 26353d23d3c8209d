"""A receipt: the record of one subject's consent for one recipient and purpose, and its life.

Pure. A receipt is given at the node that will answer (the issuer of claims), signed there, and its digest signed by
the recipient; both ledgers carry every transition.

Source: ISO/IEC TS 27560 (fields), W3C DPV (states, purposes), DESIGN sections 3 and 4.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from sys import intern
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    Field,
    ValidationError,
    model_validator,
)

from tallystick_consent.errors import ReceiptRejected, places_in
from tallystick_consent.fields import (
    DataClasses,
    Digest,
    Host,
    Line,
    LinkId,
    ProgramName,
    ReceiptId,
    Rung,
    Seconds,
    Sparse,
    Strict,
    Version,
)
from tallystick_consent.receipts.authority import Authority
from tallystick_consent.receipts.purposes import KnownPurpose
from tallystick_consent.receipts.resources import RESOURCES_MAX, Resource
from tallystick_consent.receipts.retention import Retentions, require_consistent
from tallystick_consent.receipts.states import (
    ReceiptState,
)
from tallystick_ledger.encoding import canonical_json, length_prefixed, to_base64url
from tallystick_ledger.times import DAY_S

VALIDITY_MAX_S = 3 * 366 * DAY_S


class Notice(Strict):
    """The exact words that the subject was shown.

    Attributes:
        statement: what is asked, in a sentence.
        example: what the recipient would see, for example.
        silence: what the recipient can tell from no answer.
        hidden: what stays hidden.
        reward: what the subject gets.
    """

    statement: Line
    example: Line
    silence: Line
    hidden: Line
    reward: Line

    def digest(self) -> str:
        """Return the digest that a receipt binds, base64url."""
        return _digest("tallystick/notice/v1", canonical_json(self.model_dump()))


Days = Annotated[int, Field(ge=1, le=1_098)]
Duration = Literal["one_time", "time_bound", "persistent"]


class Limits(Sparse, Strict):
    """What narrows consent beyond its dates; each is unlimited where it is absent.

    Attributes:
        duration: `one_time` is for one answer, `time_bound` ends by its date, `persistent` goes on as long as it is
            confirmed.
        reconfirm_days: how long a yes holds before it must be given again; the receipt pauses itself then.
        uses_max: how many answers may be given.
        staleness_days: how old the oldest event may be that an answer rests on, counted back from the answer.
    """

    LATER = frozenset({"duration", "reconfirm_days", "uses_max", "staleness_days"})

    duration: Duration | None = None
    reconfirm_days: Days | None = None
    uses_max: Annotated[int, Field(ge=1, le=100_000)] | None = None
    staleness_days: Days | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Limits":
        if self.duration == "one_time" and self.uses_max != 1:
            raise ValueError("one answer is one use")
        if self.duration == "persistent" and self.reconfirm_days is None:
            raise ValueError("what goes on without an end is confirmed from time to time")
        return self


NO_LIMITS = Limits()


Resources = Annotated[tuple[Resource, ...], Field(min_length=1, max_length=RESOURCES_MAX)]


def in_order(resources: Iterable[Resource]) -> list[Resource]:
    """Return resources as terms name them: each once, by kind and id, so that the order tells nothing."""
    return sorted(set(resources), key=lambda each: (each.kind, each.id))


class Terms(Sparse, Strict):
    """What a receipt permits: to whom, for what, how much, and until when.

    Attributes:
        receipt: the receipt's id.
        version: from 1; a change is a new version.
        issuer: host name of the partner that answers.
        recipient: host name of the partner that receives the answers.
        link: the pairwise pseudonym of the subject.
        program: what the answers are for, and its version.
        purposes: DPV terms.
        data_classes: which events may be evaluated.
        rung: the most revealing answer permitted.
        events_from_s, events_until_s: the range of event times that may be evaluated; until is exclusive.
        valid_from_s, valid_until_s: when answers may be given; until is exclusive.
        retention_s: how long the recipient may keep an answer.
        reward: digest of the program, which holds the reward's terms.
        notice: digest of the notice that was shown.
        limits: what narrows it further.
        previous: digest of the terms of the version before; None in the first.
        authority: on whose word the receipt stands, where that is not the subject's own; left out where it is.
        resources: what alone it is about, in order of kind and id; left out where it is about all there is.
        retention: what the recipient keeps, why, and until when; left out where nothing is said but `retention_s`.
    """

    LATER = frozenset({"authority", "limits", "previous", "resources", "retention"})

    receipt: ReceiptId
    version: Version
    issuer: Host
    recipient: Host
    link: LinkId
    program: ProgramName
    program_version: Version
    purposes: Annotated[tuple[KnownPurpose, ...], Field(min_length=1, max_length=8)]
    data_classes: DataClasses
    rung: Rung
    events_from_s: Seconds
    events_until_s: Seconds
    valid_from_s: Seconds
    valid_until_s: Seconds
    retention_s: Seconds
    reward: Digest
    notice: Digest
    limits: Limits = NO_LIMITS
    previous: Digest | None = None
    authority: Authority | None = None
    resources: Resources | None = None
    retention: Retentions = ()

    @model_validator(mode="after")
    def _sound(self) -> "Terms":
        require_consistent(self.retention, answers_s=self.retention_s)
        if not self.events_from_s < self.events_until_s or not self.valid_from_s < self.valid_until_s:
            raise ValueError("a range ends before it begins")
        if self.valid_until_s - self.valid_from_s > VALIDITY_MAX_S:
            raise ValueError("a receipt lasts at most three years")
        if self.issuer == self.recipient:
            raise ValueError("issuer and recipient are one partner")
        if self.previous is not None and self.version == 1:
            raise ValueError("nothing goes before the first version")
        if self.resources is not None and list(self.resources) != in_order(self.resources):
            raise ValueError("resources stand once each, in order")
        return self

    def document(self) -> dict[str, Any]:
        """Return the terms as JSON values."""
        return self.model_dump(mode="json")

    def digest(self) -> str:
        """Return the digest that ledger entries carry, base64url; the terms' random ids keep it from being guessed."""
        return _digest("tallystick/terms/v1", canonical_json(self.document()))


def parse_terms(document: object) -> Terms:
    """Return the terms that a JSON document holds.

    Raises:
        ReceiptRejected: a member is missing, unknown, of another type, or out of its bounds.
        BadInput: the document has no canonical JSON.
    """
    try:
        return Terms.model_validate_json(canonical_json(document))
    except ValidationError as error:
        raise ReceiptRejected(
            "receipt_malformed",
            f"A receipt's terms do not have the form they must have, at {places_in(error)}.",
            remedy="Send the members of Terms, each of its type.",
        ) from error


class Scope(NamedTuple):
    """What a decision asks of a receipt's terms, side by side: the members of `Terms` of the same names.

    Texts are interned and sets shared, so that deciding about one receipt among many reads little memory of its own.
    """

    receipt: str
    version: int
    issuer: str
    recipient: str
    program: str
    program_version: int
    purposes: frozenset[str]
    data_classes: frozenset[str]
    rung: str
    events_from_s: int
    events_until_s: int
    valid_from_s: int
    valid_until_s: int
    uses_max: int | None
    staleness_s: int | None
    resources: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt as a node holds it.

    Attributes:
        terms: what it permits.
        state: where it is in its life.
        acknowledged: whether the other partner's signature over its digest is logged.
        uses: how many answers it has given.
        confirm_by_s: until when it must be given again; None where it need not, or the other partner sees to it.
        scope: of the terms, for `decide`.
    """

    terms: Terms
    state: ReceiptState
    acknowledged: bool
    uses: int = 0
    confirm_by_s: int | None = None
    scope: Scope = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scope", _scope_of(self.terms))


@lru_cache(maxsize=1_024)
def _set_of(texts: tuple[str, ...]) -> frozenset[str]:
    """Return the one set that all receipts of the same purposes or classes share."""
    return frozenset(map(intern, texts))


def _scope_of(terms: Terms) -> Scope:
    return Scope(
        receipt=terms.receipt,
        version=terms.version,
        issuer=intern(terms.issuer),
        recipient=intern(terms.recipient),
        program=intern(terms.program),
        program_version=terms.program_version,
        purposes=_set_of(terms.purposes),
        data_classes=_set_of(terms.data_classes),
        rung=intern(terms.rung),
        events_from_s=terms.events_from_s,
        events_until_s=terms.events_until_s,
        valid_from_s=terms.valid_from_s,
        valid_until_s=terms.valid_until_s,
        uses_max=terms.limits.uses_max,
        staleness_s=None if terms.limits.staleness_days is None else terms.limits.staleness_days * DAY_S,
        resources=None if terms.resources is None else frozenset(each.id for each in terms.resources),
    )


def _digest(label: str, raw: bytes) -> str:
    return to_base64url(hashlib.sha256(length_prefixed(label, raw)).digest())
