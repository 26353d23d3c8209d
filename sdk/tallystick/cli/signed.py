"""The part of `tally verify` that reads one object that a partner has signed: a receipt, an acknowledgement, a stop."""

import json
from dataclasses import dataclass
from pathlib import Path

from tallystick.audit import AuditNotRun
from tallystick.audit.findings import printable
from tallystick.cli.papers import Verified
from tallystick.cli.shared import read
from tallystick.descriptor import open_descriptor
from tallystick.papers.signed import given_up, open_signed
from tallystick.papers.trust import day_text, rejected
from tallystick_consent.claims.jws import TOKEN_SIZE_MAX_BYTES, typ_of
from tallystick_consent.erasure import ErasureAttestation, ErasureRequest
from tallystick_consent.signed import (
    Acceptance,
    Acknowledgement,
    Agreement,
    Correction,
    GivenReceipt,
    Proposal,
    RenewedReceipt,
    Retraction,
    SignedObject,
    Stop,
    Withdrawal,
    signed_digest,
)
from tallystick_ledger.errors import BadInput

KINDS: dict[str, tuple[type[SignedObject], str]] = {
    kind.TYPE: (kind, name)
    for kind, name in (
        (Proposal, "proposal of a program"),
        (Agreement, "agreement to a program"),
        (GivenReceipt, "receipt that was given"),
        (RenewedReceipt, "receipt that was given again"),
        (Withdrawal, "withdrawal"),
        (Stop, "stop"),
        (Acknowledgement, "acknowledgement"),
        (Acceptance, "acceptance of a claim"),
        (Correction, "correction"),
        (Retraction, "retraction of a claim"),
        (ErasureRequest, "request to erase"),
        (ErasureAttestation, "attestation of an erasure"),
    )
}
"""What partners sign, by the type in its header, and what that is called."""

_NAMES = ("digest", "proposal", "renews", "request")
"""The member by which an object names another, by its digest."""


@dataclass(frozen=True, slots=True)
class Known:
    """What whoever verifies knows beside the file: the options of the command.

    Attributes:
        descriptor, fingerprint: of the company that is to have signed it.
        of: file of the object that it names, where that is to be compared.
    """

    descriptor: Path | None
    fingerprint: str
    of: Path | None


def is_signed(raw: bytes) -> bool:
    """Return whether a file holds a compact JWS: a header in base64url of JSON, and no tilde."""
    return raw.startswith(b"eyJ") and b"~" not in raw


def verified_signed(raw: bytes, known: Known) -> Verified:
    """Return what a signed object says, for a person to read, once its signature holds; under a key that was given up
    since, nothing is shown by that alone.

    Raises:
        AuditNotRun: nothing says whose it is to be.
        SignatureRejected, BadInput, ReceiptRejected, PaperRejected: it does not hold.
    """
    if known.descriptor is None or not known.fingerprint:
        raise AuditNotRun(
            "Nothing says whose signature counts.", remedy="Give --descriptor FILE --fingerprint HEX of who signed it."
        )
    company = open_descriptor(
        _text(read(known.descriptor, TOKEN_SIZE_MAX_BYTES)), expected_fingerprint=known.fingerprint
    )
    token = _text(raw)
    if typ_of(token) not in KINDS:
        raise BadInput("It is nothing that partners sign.", remedy="Give the file as it was made.")
    kind, name = KINDS[typ_of(token)]
    opened = open_signed(token, kind, company)
    content = opened.content
    said = f"{company.host} has signed this {name}, on {day_text(content.at)}{given_up(opened)}."
    holds = "HOLDS." if opened.given_up_s is None else f"WOULD HOLD ONLY IF its own ledger names {opened.digest}."
    lines = [f"{holds} {said}"]
    for member, value in content.model_dump(mode="json").items():
        lines.append(f"  {member}: {value if isinstance(value, str) else json.dumps(value)}")
    listed = f"That {company.host} has given up no key since {day_text(company.issued_at)}, the day of that descriptor."
    unproven = (
        "Not proven by it:",
        f"  {listed}",
        "  That it stands still: something else may have been signed since.",
    )
    text = "\n".join(printable(line) for line in (*lines, _compared(content, known.of), *unproven) if line)
    return Verified(text, is_shown=opened.given_up_s is None)


def _compared(content: SignedObject, of: Path | None) -> str:
    """Return whether an object names the one in a file.

    Raises:
        PaperRejected: it does not.
    """
    named = next((str(getattr(content, each)) for each in _NAMES if hasattr(content, each)), "")
    if of is None:
        return "NOT COMPARED with what it names by digest: give that with --of FILE." if named else ""
    if signed_digest(_text(read(of, TOKEN_SIZE_MAX_BYTES))) != named:
        raise rejected("It is about something else than the file that was given.")
    return "It is about just the file that was given; who signed that is another question."


def _text(raw: bytes) -> str:
    try:
        return raw.decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise BadInput("A token is not ASCII.", remedy="Give the file as it was made.") from error
