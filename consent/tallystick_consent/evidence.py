"""Evidence of the giving: how it was seen that a subject said yes, and so how much that proves.

Pure. The evidence stands in the signed receipt; its grade stands in the ledgers' entries too, where an audit counts it.

Source: ISO/IEC TS 27560 (consent evidence), NIST SP 800-63B (authenticator assurance levels), DESIGN flow 3.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.receipt import Digest, Terms
from tallystick_ledger.encoding import canonical_json, from_base64url, length_prefixed
from tallystick_ledger.errors import BadInput, SignatureRejected
from tallystick_ledger.tlog.keys import ED25519, VerifierKey


class Evidence(BaseModel):
    """How the giving was seen, and so how much it proves.

    Attributes:
        grade: `wallet_key` where the subject's own key signed; `app_asserted` where the app says who was there.
        app: the app's own name for itself.
        login: how the app knew who it was: authenticator assurance level of NIST SP 800-63B.
        public_key: the wallet's Ed25519 key, base64url; one a link.
        signature: by that key over `evidence_message`.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    grade: Literal["wallet_key", "app_asserted"]
    app: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,60}$")]
    login: Literal["aal1", "aal2", "aal3"]
    public_key: Digest | None = None
    signature: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{86}$")] | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Evidence":
        if (self.grade == "wallet_key") != (self.public_key is not None and self.signature is not None):
            raise ValueError("a wallet's key and signature stand with the grade wallet_key, and with no other")
        return self


def evidence_message(terms: Terms) -> bytes:
    """Return what a subject's own key signs when it gives consent."""
    return length_prefixed("tallystick/evidence/v1", canonical_json(terms.document()))


def check_evidence(evidence: Evidence, terms: Terms) -> None:
    """Return quietly if the evidence is what its grade says.

    Raises:
        ReceiptRejected: the wallet's signature is not over these terms, or its key is one that proves nothing.
    """
    if evidence.public_key is None or evidence.signature is None:
        return
    try:
        key = VerifierKey("wallet", ED25519, from_base64url(evidence.public_key))
        key.check(evidence_message(terms), from_base64url(evidence.signature))
    except (BadInput, SignatureRejected) as error:
        raise ReceiptRejected(
            "signature_invalid", "The wallet's signature is not over these terms.", remedy="Sign evidence_message."
        ) from error
