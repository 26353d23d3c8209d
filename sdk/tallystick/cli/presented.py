"""The part of `tally verify` that reads a claim which somebody presents from their wallet."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tallystick.audit import AuditNotRun
from tallystick.audit.findings import printable
from tallystick.cli.shared import read
from tallystick.descriptor import Descriptor, open_descriptor
from tallystick.presenting import verify_presented
from tallystick_consent.claims.jws import TOKEN_SIZE_MAX_BYTES
from tallystick_ledger.errors import BadInput


@dataclass(frozen=True, slots=True)
class Expected:
    """What whoever verifies knows of a presentation beside the file: the options of the command.

    Attributes:
        descriptor, fingerprint: of the claim's issuer, compared by two people.
        verifier, nonce: the name and the nonce that the wallet was given.
        status: file of the status list that the claim names, where there is one.
        now_s: seconds since 1970-01-01 UTC.
    """

    descriptor: Path | None
    fingerprint: str
    verifier: str
    nonce: str
    status: Path | None
    now_s: int


def is_presented(raw: bytes) -> bool:
    """Return whether a file holds an SD-JWT: a header in base64url of JSON, and tildes."""
    return raw.startswith(b"eyJ") and b"~" in raw


def verified_presented(raw: bytes, expected: Expected) -> str:
    """Return what a presented claim says, for a person to read, once everything about it holds.

    Raises:
        AuditNotRun: something that must be known beside the file is missing.
        ClaimRejected, BadInput, SignatureRejected: it does not hold.
    """
    if expected.descriptor is None or not (expected.fingerprint and expected.verifier and expected.nonce):
        raise AuditNotRun(
            "Nothing says whom to believe about a presented claim, or what the wallet was given.",
            remedy="Give --descriptor FILE --fingerprint HEX of its issuer, --verifier NAME and --nonce TEXT.",
        )
    issuer = _issuer(expected.descriptor, expected.fingerprint).live(expected.now_s)
    status_list = _text(read(expected.status, TOKEN_SIZE_MAX_BYTES)) if expected.status else None
    presented = verify_presented(
        _text(raw),
        issuer=issuer,
        verifier=expected.verifier,
        nonce=expected.nonce,
        now_s=expected.now_s,
        status_list=status_list,
    )
    claim = presented.claim
    until = datetime.fromtimestamp(claim.exp, UTC).strftime("%Y-%m-%d %H:%M UTC")
    stands = "It was not revoked, by the list that you gave." if presented.stands else _not_looked_up(claim.status)
    return "\n".join(
        (
            f"HOLDS. {printable(claim.iss)} says: {printable(claim.answer.statement)}, by {claim.answer.assurance}.",
            f"Made for {printable(claim.aud)}, until {until}; presented by its holder to you, just now.",
            stands,
        )
    )


def _not_looked_up(status: object) -> str:
    if status is None:
        return "It names no status list: whether it was revoked cannot be looked up."
    return "NOT LOOKED UP whether it was revoked: give its status list with --status FILE."


def _issuer(path: Path, fingerprint: str) -> Descriptor:
    return open_descriptor(_text(read(path, TOKEN_SIZE_MAX_BYTES)), expected_fingerprint=fingerprint)


def _text(raw: bytes) -> str:
    try:
        return raw.decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise BadInput("A token is not ASCII.", remedy="Give the file as it was made.") from error
