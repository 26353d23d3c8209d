"""Erasure between partners: what one asks of the other about a link, and what that one answers for, field by field.

Pure. A subject asks one company; that company destroys the subject's keys, and asks the other end of each link for the
same. One request a link, each under an id of its own: two partners of one subject cannot tell from them that it is one
person. The answer is signed, and says of every field whether it is gone, was never there, or is kept, on which ground
and until when.

An attestation is a company's word: it convicts that company if it turns out to be false, and proves no deletion.

Source: DESIGN flow 8 and P9, CONSTRUCTIONS (keys), GDPR articles 17(1), 17(3) and 19.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tallystick_consent.fields import Digest, Host, LinkId, ReceiptId, Seconds, Strict
from tallystick_consent.signed import SignedObject

RECEIPTS_MAX = 1_000
"""Receipts of one link that a request names: the newest."""

ErasureId = Annotated[str, Field(pattern=r"^era_[a-z2-7]{26}$")]

ErasedField = Literal["link_secret", "events", "answers", "decisions", "evidence", "hints", "messages", "accounting"]
"""What an end of a link may hold about its subject.

link_secret  what the pairwise names are made of
events       sealed payloads, and when and of which type they were
answers      the claims themselves; that they were issued or taken stands in the ledger
decisions    what was decided about a period, with counts and reasons
evidence     how the giving was seen, a wallet's key and signature with it
hints        what the owner recognises the accounts by
messages     what was sent between the partners, and replies that were kept
accounting   transfers and balances under the link's pseudonym
"""

FIELDS: tuple[ErasedField, ...] = ErasedField.__args__  # type: ignore[attr-defined]

Ground = Literal["legal_obligation", "legal_claims", "own_customer"]
"""Why a field is kept: GDPR article 17(3)(b), 17(3)(e), or that it is about the partner's own customer, who was not the
one to ask this partner, and can."""


class FieldAnswer(Strict):
    """What became of one field.

    Attributes:
        fate: `none` where nothing of the kind was there any more, or ever.
        ground: where it is kept, why.
        until: where it is kept, until when at the latest, seconds since 1970-01-01 UTC; None: until its subject asks.
    """

    field: ErasedField
    fate: Literal["erased", "kept", "none"]
    ground: Ground | None = None
    until: Seconds | None = None

    @model_validator(mode="after")
    def _says_why(self) -> "FieldAnswer":
        if (self.fate == "kept") != (self.ground is not None) or (self.ground is None and self.until is not None):
            raise ValueError("a field that is kept has a ground, and no other has")
        if (self.until is None) != (self.ground in (None, "own_customer")):
            raise ValueError("what a law keeps is kept until a time that is said")
        return self


class ErasureRequest(SignedObject):
    """That the subject of a link asked `origin` to be erased, and `partner` is asked for the same.

    Attributes:
        erasure: one for each link.
        receipts: those of the link that `origin` knows; answers under them are over.
    """

    TYPE = "tallystick-erasure+jwt"
    erasure: ErasureId
    origin: Host
    partner: Host
    link: LinkId
    receipts: Annotated[tuple[ReceiptId, ...], Field(max_length=RECEIPTS_MAX)]


class ErasureAttestation(SignedObject):
    """A partner's answer to an erasure request, named by its digest: every field, once."""

    TYPE = "tallystick-erasure-attestation+jwt"
    erasure: ErasureId
    partner: Host
    request: Digest
    fields: tuple[FieldAnswer, ...]

    @model_validator(mode="after")
    def _names_every_field(self) -> "ErasureAttestation":
        if tuple(each.field for each in self.fields) != FIELDS:
            raise ValueError("an attestation names every field once, in their order")
        return self
