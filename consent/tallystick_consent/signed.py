"""Objects that one partner signs and the other keeps: agreements, receipts, withdrawals, and the answers to them.

Pure. A stored HTTP exchange convinces nobody, so whatever a partner may have to show a third party is an object of its
own: a compact JWS under the partner's `receipt` key, its type in the header, its content strictly typed.

Source: CONSTRUCTIONS (keys, between nodes), RFC 7515, ISO/IEC TS 27560.
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field, ValidationError, model_validator

from tallystick_consent.claims.jws import sign_jws, verify_jws
from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.fields import AgreementId, Digest, Host, ReceiptId, Seconds, Sparse, Strict, Version
from tallystick_consent.places import EventPlace
from tallystick_consent.receipts.evidence import Evidence
from tallystick_consent.receipts.receipt import Terms
from tallystick_ledger.encoding import canonical_json, length_prefixed, to_base64url


class SignedObject(Strict):
    """What every signed object has.

    Attributes:
        TYPE: the `typ` of its JWS.
        at: when it was signed, seconds since 1970-01-01 UTC by the signer's clock.
    """

    TYPE: ClassVar[str]
    at: Seconds


class Proposal(SignedObject):
    """A payer's program, proposed to one issuer; the program is parsed by `program.parse_program`."""

    TYPE = "tallystick-proposal+jwt"
    agreement: AgreementId
    payer: Host
    issuer: Host
    program: dict[str, Any]


class Agreement(SignedObject):
    """An issuer's signature under a proposal, named by its digest."""

    TYPE = "tallystick-agreement+jwt"
    agreement: AgreementId
    proposal: Digest


class GivenReceipt(SignedObject):
    """A receipt that a subject gave, signed by the node where it was given."""

    TYPE = "tallystick-receipt+jwt"
    terms: Terms
    evidence: Evidence


class RenewedReceipt(SignedObject):
    """A receipt that a subject gave again, signed likewise.

    Attributes:
        renews: digest of the signed receipt, or renewal, that this one follows.
    """

    TYPE = "tallystick-renewal+jwt"
    renews: Digest
    terms: Terms
    evidence: Evidence


class Withdrawal(Sparse, SignedObject):
    """That a subject withdrew, signed by the node where it did.

    Attributes:
        earned: `drop` delivers nothing more; `settle_earned` delivers what was earned until then, and is listed.
        deliverable: digests of the claims that are still to come.
        deliverable_until: when the last of them runs out; 0 where none is to come.
    """

    TYPE = "tallystick-withdrawal+jwt"
    LATER = frozenset({"deliverable", "deliverable_until"})
    receipt: ReceiptId
    version: Version
    earned: Literal["drop", "settle_earned"]
    deliverable: Annotated[tuple[Digest, ...], Field(max_length=1_000)] = ()
    deliverable_until: Seconds = 0

    @model_validator(mode="after")
    def _settles(self) -> "Withdrawal":
        if bool(self.deliverable) != bool(self.deliverable_until) or (self.deliverable and self.earned == "drop"):
            raise ValueError("what is still to come is listed with its end, and only where what was earned is settled")
        return self


class Stop(SignedObject):
    """That a receipt was paused, revoked or invalidated, signed by the node where it was."""

    TYPE = "tallystick-stop+jwt"
    receipt: ReceiptId
    version: Version
    state: Literal["paused", "revoked", "invalidated"]


class Acknowledgement(SignedObject):
    """The other partner's signature over a receipt, a withdrawal or a stop, named by its digest."""

    TYPE = "tallystick-acknowledgement+jwt"
    receipt: ReceiptId
    version: Version
    state: Literal["given", "renewed", "paused", "withdrawn", "revoked", "invalidated"]
    digest: Digest


class Acceptance(SignedObject):
    """That a recipient took a claim.

    Attributes:
        claim: the claim's digest; where an earlier claim for the same nullifier had been taken, that one's.
        fee: id of the transfer by which the issuer's fee is owed, "" where the program has none.
    """

    TYPE = "tallystick-acceptance+jwt"
    issuer: Host
    claim: Digest
    nullifier: Digest
    fee: Annotated[str, Field(pattern=r"^(trf_[a-z2-7]{26})?$")]
    fee_asset: Annotated[str, Field(pattern=r"^([A-Z]{3,12}/[0-9])?$")]
    fee_amount: Annotated[int, Field(ge=0, lt=2**53)]


class Correction(SignedObject):
    """An issuer's word that an event was recorded wrongly, or was missing: the events, by their places in its log."""

    TYPE = "tallystick-correction+jwt"
    wrong: EventPlace | None
    right: EventPlace | None


class Retraction(SignedObject):
    """An issuer's word that a claim of its own stands no longer; because of which event, the recipient is not told."""

    TYPE = "tallystick-retraction+jwt"
    recipient: Host
    receipt: ReceiptId
    claim: Digest
    nullifier: Digest


_Object = TypeVar("_Object", bound=SignedObject)


def sign_object(content: SignedObject, *, key_id: str, private_key: Ed25519PrivateKey) -> str:
    """Return the signed object, compact JWS."""
    return sign_jws(content.model_dump(mode="json"), typ=content.TYPE, key_id=key_id, private_key=private_key)


def open_object(token: str, kind: type[_Object], *, keys: Mapping[str, Ed25519PublicKey]) -> _Object:
    """Return the content of a signed object of one kind.

    Args:
        token: compact JWS.
        kind: which kind it must be.
        keys: the signer's `receipt` keys, by key id.

    Raises:
        SignatureRejected: not signed by any of these keys, or of another kind.
        BadInput: not a JWS.
        ReceiptRejected: its content is not of its form.
    """
    content = verify_jws(token, typ=kind.TYPE, keys=keys)
    try:
        return kind.model_validate_json(canonical_json(content))
    except ValidationError as error:
        raise ReceiptRejected(
            "receipt_malformed",
            f"The content of a signed {kind.__name__} is not of its form.",
            remedy="Sign it with this version's node.",
        ) from error


def signed_digest(token: str) -> str:
    """Return the digest, base64url, by which ledgers and answers name a signed object."""
    text = length_prefixed("tallystick/signed/v1", token)
    return to_base64url(hashlib.sha256(text).digest())
