"""Evidence of the giving: how it was seen that a subject said yes, and so how much that proves.

Pure. The evidence stands in the signed receipt; its grade stands in the ledgers' entries too, where an audit counts it.
Who the clerk was, by which channel, and what was signed on paper lies in a record sealed under the subject's key; the
receipt holds that record's commitment, so that it can be opened in a dispute and by nobody else.

Source: ISO/IEC TS 27560 (consent evidence), NIST SP 800-63B (authenticator assurance levels), DESIGN flow 3.
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.fields import Digest, Sparse, Strict
from tallystick_consent.receipts.receipt import Terms
from tallystick_ledger.encoding import canonical_json, from_base64url, length_prefixed, to_base64url
from tallystick_ledger.errors import BadInput, SignatureRejected
from tallystick_ledger.tlog.keys import ED25519, VerifierKey

RECORD_MEDIA_TYPE = "application/vnd.tallystick.record+json"
"""How to read a sealed record."""

APPROVALS_MAX = 8

Grade = Literal["wallet_key", "app_asserted", "clerk", "signed_form"]
Channel = Literal["letter", "phone", "desk"]
Login = Literal["aal1", "aal2", "aal3"]
Agent = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:@-]{1,120}$")]
"""A company's own id of its clerk."""


class Approval(Strict):
    """That another of several holders said yes before: how that was seen, and the commitment of its sealed record."""

    grade: Grade
    record: Digest


class Evidence(Sparse, Strict):
    """How the giving was seen, and so how much it proves.

    Attributes:
        grade: `wallet_key` where the subject's own key signed; `app_asserted` where the app says who was there; `clerk`
            where a clerk read the notice out and back; `signed_form` where a paper was signed.
        app: the app's own name for itself.
        login: how the app knew who it was, the subject or the clerk: authenticator assurance level of NIST SP 800-63B.
        public_key: the wallet's Ed25519 key, base64url; one a link.
        signature: by that key over `evidence_message`.
        record: commitment of the sealed record of channel, agent, speaker and form; always there with `clerk` and
            `signed_form`.
        read_back: with `clerk`: the words of the notice were read to the subject, and its answer back to it.
        approvals: of joint holders, those who said yes before; `grade` is of the last one.
    """

    LATER = frozenset({"record", "read_back", "approvals"})

    grade: Grade
    app: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,60}$")]
    login: Login
    public_key: Digest | None = None
    signature: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{86}$")] | None = None
    record: Digest | None = None
    read_back: bool | None = None
    approvals: Annotated[tuple[Approval, ...], Field(max_length=APPROVALS_MAX)] = ()

    @model_validator(mode="after")
    def _whole(self) -> "Evidence":
        if (self.grade == "wallet_key") != (self.public_key is not None and self.signature is not None):
            raise ValueError("a wallet's key and signature stand with the grade wallet_key, and with no other")
        if self.read_back is not (True if self.grade == "clerk" else None):
            raise ValueError("what a clerk saw was read back, and that is said of nothing else")
        if self.grade in ("clerk", "signed_form") and self.record is None:
            raise ValueError("what a clerk saw or a form says lies in a record")
        return self


class Testimony(Strict):
    """What an app tells of a giving that it did not see itself; its node seals all of it.

    Attributes:
        grade: `clerk` where a clerk heard the subject, `signed_form` where a paper was signed.
        login: how the clerk was logged in.
        channel: how the subject came.
        agent: our own id of the clerk.
        read_back: with `clerk`: the notice was read out, and the answer read back. Nothing less is taken.
        form: with `signed_form`: SHA-256 of the scanned form, base64url; salted and hashed again in the record.
    """

    __test__ = False  # the name begins as a test's would

    grade: Literal["clerk", "signed_form"]
    login: Login
    channel: Channel
    agent: Agent
    read_back: bool | None = None
    form: Digest | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Testimony":
        if self.read_back is not (True if self.grade == "clerk" else None):
            raise ValueError("what a clerk saw was read back, and that is said of nothing else")
        if (self.grade == "signed_form") != (self.form is not None):
            raise ValueError("the digest of a form stands with the grade signed_form, and with no other")
        return self


def record_payload(kind: str, *, at_s: int, about: Mapping[str, Any]) -> bytes:
    """Return what a sealed record holds of one act, as canonical JSON; members that are None are left out.

    Args:
        kind: `give`, `renew`, `narrow`, `approve`, `refuse`, `defer`, `pause`, `stop`, `see`, `erase`, `dispute` or
            `match`; `answer` where one of the company's own answered, `delay` where one said that this takes longer.
        at_s: when, seconds since 1970-01-01 UTC.
        about: who, how and of what.

    Raises:
        BadInput: it has no canonical JSON.
    """
    said = {name: each for name, each in about.items() if each is not None}
    return canonical_json({"kind": kind, "at": at_s, **said})


def check_holders(evidence: Evidence, terms: Terms) -> None:
    """Return quietly if as many of several holders said yes as the terms need; each approval stands for one.

    Raises:
        ReceiptRejected: fewer did.
    """
    needed = None if terms.authority is None else terms.authority.needed
    if needed is not None and len({each.record for each in evidence.approvals}) + 1 < needed:
        raise ReceiptRejected(
            "approval_missing", "Fewer holders have said yes than must.", remedy="Let the others approve first."
        )


def evidence_message(terms: Terms, *, renews: str = "") -> bytes:
    """Return what a subject's own key signs when it gives consent: for the first time, or again.

    The terms alone say yes once. Every further yes, in the same version or a next one, names the one that it follows as
    well, so that a signature which was seen before says nothing a second time.

    Args:
        terms: what is permitted.
        renews: digest of the signed receipt, or renewal, that this yes follows; "" for the first.
    """
    if renews == "":
        return length_prefixed("tallystick/evidence/v1", canonical_json(terms.document()))
    return length_prefixed("tallystick/renewal/v1", renews, canonical_json(terms.document()))


def yes_digest(terms: Terms, *, renews: str = "") -> str:
    """Return a name for what somebody says yes to, base64url: these terms, after that yes, and nothing else."""
    return to_base64url(hashlib.sha256(evidence_message(terms, renews=renews)).digest())


def check_evidence(evidence: Evidence, terms: Terms, *, renews: str = "") -> None:
    """Return quietly if the evidence is what its grade says.

    Args:
        evidence: of a yes.
        terms: what was said yes to.
        renews: which yes it follows, as in `evidence_message`.

    Raises:
        ReceiptRejected: the wallet's signature is not over these terms and that yes, or its key is one that proves
            nothing.
    """
    if evidence.public_key is None or evidence.signature is None:
        return
    try:
        key = VerifierKey("wallet", ED25519, from_base64url(evidence.public_key))
        key.check(evidence_message(terms, renews=renews), from_base64url(evidence.signature))
    except (BadInput, SignatureRejected) as error:
        raise ReceiptRejected(
            "signature_invalid",
            "The wallet's signature is not over these terms, or was made for another yes.",
            remedy="Sign evidence_message.",
        ) from error
