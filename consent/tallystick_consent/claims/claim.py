"""A claim: a signed answer that crosses a border, for one recipient, one period, and once.

Pure. The answer itself is the one part that can be held back when the claim is shown on, to an arbiter for example:
what it is about stays verifiable without saying what was answered.

Source: SD-JWT VC (draft-ietf-oauth-sd-jwt-vc), RFC 9901, CONSTRUCTIONS (nullifier), SCENARIOS section 0.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BeforeValidator, Field, ValidationError

from tallystick_consent.claims.jws import unchecked_payload
from tallystick_consent.claims.sdjwt import CREDENTIAL_TYP, KeyBinding, issue_written, verify_sd_jwt
from tallystick_consent.claims.status_list import Status
from tallystick_consent.errors import ClaimRejected
from tallystick_consent.fields import Digest, Host, LinkId, ProgramName, ReceiptId, Seconds, Strict, Version
from tallystick_consent.rules.periods import PERIOD_NAME_PATTERN

VCT: Literal["urn:tallystick:claim:1"] = "urn:tallystick:claim:1"
ANSWER = "answer"
_DISCLOSED = {ANSWER}


def _exactly_true(value: object) -> object:
    # Pydantic takes 1 for the literal True, JSON does not; and what is not so is never sent.
    if value is not True:
        raise ValueError("an answer that crosses is true")
    return value


class Answer(Strict):
    """What was asked, in words of the rule, and what is so."""

    assurance: Literal["turnstile", "geofence", "mixed", "operator", "device", "device_attested", "device_inconsistent"]
    statement: Annotated[str, Field(min_length=1, max_length=200)]
    value: Annotated[Literal[True], BeforeValidator(_exactly_true)]


class HolderKey(Strict):
    """A wallet's Ed25519 public key, as `sdjwt.confirmation` writes it (RFC 8037)."""

    crv: Literal["Ed25519"]
    kty: Literal["OKP"]
    x: Digest


class Confirmation(Strict):
    """The `cnf` member of a claim: whose signature shows that it is presented by its holder (RFC 7800)."""

    jwk: HolderKey


class Claim(Strict):
    """The content of a claim; member names are those of the token.

    Attributes:
        jti: the claim's id.
        iss: host name of the issuer.
        aud: host name of the recipient.
        iat, exp: seconds since 1970-01-01 UTC.
        link, receipt, program, version, period, slot: what the answer is about, and under which rule.
        nullifier: base64url; the same one never counts twice.
        status: where to look up whether it still stands; None in the claims of version 0.1, which could not be revoked.
        cnf: the wallet key of the subject, one a link, where the subject has one; None where nobody can present it.
    """

    # In the order of the alphabet: a model writes its members as they stand here, and so its JSON is the canonical one.
    answer: Answer
    aud: Host
    cnf: Confirmation | None = None
    exp: Seconds
    iat: Seconds
    iss: Host
    jti: Annotated[str, Field(pattern=r"^clm_[a-z2-7]{26}$")]
    link: LinkId
    nullifier: Digest
    period: Annotated[str, Field(pattern=PERIOD_NAME_PATTERN)]
    program: ProgramName
    receipt: ReceiptId
    slot: Annotated[int, Field(ge=0, le=1_000_000)]
    status: Status | None = None
    vct: Literal["urn:tallystick:claim:1"]
    version: Version


_ONLY_ANSWER = frozenset({ANSWER})


def holder_key(public_key: str) -> Confirmation:
    """Return the `cnf` of a wallet key, given as base64url of its 32 bytes."""
    return Confirmation(jwk=HolderKey(crv="Ed25519", kty="OKP", x=public_key))


def issue_claim(
    claim: Claim, *, key_id: str, private_key: Ed25519PrivateKey, random_bytes: Callable[[int], bytes]
) -> str:
    """Return the signed claim, its answer disclosed."""
    return issue_written(
        claim.model_dump_json(exclude=_DISCLOSED, exclude_none=True),
        ANSWER,
        claim.answer.model_dump_json(),
        typ=CREDENTIAL_TYP,
        key_id=key_id,
        private_key=private_key,
        random_bytes=random_bytes,
    )


def verify_claim(
    token: str,
    *,
    issuer: str,
    audience: str,
    keys: Mapping[str, Ed25519PublicKey],
    now_s: int,
    require_key_binding: KeyBinding | None = None,
) -> Claim:
    """Return the claim of a token, once everything that can be checked without a node's state was checked.

    Whether it was revoked since, its `status` leads to (`status_list`).

    Args:
        token: the claim as it was received.
        issuer: the partner that sent it, or made it; a claim of another is refused.
        audience: the recipient that it names: us, or where a holder presents it elsewhere, whom it was made for.
        keys: the issuer's claim keys, by key id.
        now_s: seconds since 1970-01-01 UTC, from the caller's clock.
        require_key_binding: what the holder must have signed just now; None where a claim comes from its issuer, and
            must not be bound.

    Raises:
        ClaimRejected: malformed, wrongly signed, expired, for somebody else, with its answer held back, or not
            presented by its holder.
        BadInput: not an SD-JWT at all.
    """
    verified = verify_sd_jwt(
        token, typ=CREDENTIAL_TYP, keys=keys, now_s=now_s, audience=audience, holder=require_key_binding
    )
    claim = _parsed(verified.payload)
    if claim.iss != issuer or verified.disclosed != _ONLY_ANSWER:
        raise ClaimRejected(
            "claim_mismatch",
            "A claim is not by the partner that sent it, or discloses other than its answer.",
            remedy="Send a claim of your own, with its answer disclosed.",
        )
    return claim


def peek_audience(token: str) -> str:
    """Return for whom a token that nobody has checked yet says it was made.

    Raises:
        ClaimRejected, BadInput: it is not of its form.
    """
    audience = unchecked_payload(token.partition("~")[0]).get("aud")
    if not isinstance(audience, str):
        raise _malformed()
    return audience


def _parsed(payload: Mapping[str, Any]) -> Claim:
    if None in payload.values():
        raise _malformed()  # what is not said of a claim is left out
    # As strict as from JSON text: no member takes an int for a bool or a float for an int, and none is a list.
    try:
        return Claim.model_validate(payload)
    except ValidationError as error:
        raise _malformed() from error


def _malformed() -> ClaimRejected:
    return ClaimRejected(
        "claim_malformed", "A claim's content is not of its form.", remedy="Issue it with this version's SDK."
    )
