"""Token Status List: whether a claim still stands, looked up without telling which claim is looked up.

Pure: bytes and values in, text or values out; time and keys are passed in. A list is a run of small numbers, packed,
compressed and signed as a whole; a claim names the list and its place there. Whoever checks takes the whole list, so
its issuer does not learn which claim is being used.

Source: draft-ietf-oauth-status-list, sections 4 (list), 5.1 (token as JWT), 6 (reference) and 8.3 (validation).
"""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BeforeValidator, Field, ValidationError

from tallystick_consent.claims.jws import sign_jws, verify_jws
from tallystick_consent.claims.sdjwt import LEEWAY_S
from tallystick_consent.errors import ClaimRejected
from tallystick_consent.fields import Seconds, Strict
from tallystick_ledger.encoding import from_base64url, to_base64url
from tallystick_ledger.errors import BadInput, SignatureRejected
from tallystick_ledger.times import DAY_S

STATUS_TYP = "statuslist+jwt"
STATUS_MEDIA_TYPE = "application/statuslist+jwt"

VALID = 0
INVALID = 1

LIST_SIZE_MAX_BYTES = 16 * 1024
"""How large a list may be once it is inflated: 131,072 claims of one bit; at the worst it still fits a token."""

LIFE_MAX_S = DAY_S
"""The longest time for which one token may speak."""

Bits = Literal[1, 2, 4, 8]


class Place(Strict):
    """Where a claim's status stands: number `idx` of the list that `uri` names."""

    idx: Annotated[int, Field(ge=0, lt=8 * LIST_SIZE_MAX_BYTES)]
    uri: Annotated[str, Field(pattern=r"^https?://[!-~]{1,400}$")]


class Status(Strict):
    """The `status` member of a claim."""

    status_list: Place


def _whole(value: object) -> object:
    # To pydantic true and 1.0 are the literal 1, to JSON they are not.
    if type(value) is not int:
        raise ValueError("bits are counted in whole numbers")
    return value


class _Packed(Strict):
    bits: Annotated[Bits, BeforeValidator(_whole)]
    lst: str


class _Token(Strict):
    sub: str
    iat: Seconds
    exp: Seconds
    ttl: Annotated[int, Field(ge=1, le=LIFE_MAX_S)]
    status_list: _Packed


@dataclass(frozen=True, slots=True)
class StatusList:
    """The status of each of many claims, packed.

    Attributes:
        bits: how many each takes.
        packed: the first of each byte in its lowest bits.
    """

    bits: Bits
    packed: bytes

    def __len__(self) -> int:
        """Return for how many claims there is a place."""
        return len(self.packed) * (8 // self.bits)

    def at(self, index: int) -> int:
        """Return the status at a place.

        Raises:
            ClaimRejected: the list has no such place, so it says nothing of the claim.

        Source: section 4.1.
        """
        if not 0 <= index < len(self):
            raise _malformed("A status list has no such place.")
        byte, place = divmod(index, 8 // self.bits)
        return self.packed[byte] >> (place * self.bits) & ((1 << self.bits) - 1)


def pack(statuses: Iterable[tuple[int, int]], *, bits: Bits, size_bytes: int) -> StatusList:
    """Return the list of `size_bytes` that holds each (place, status), and `VALID` everywhere else.

    Raises:
        BadInput: a place lies outside of the list, or a status needs more bits.
    """
    packed = bytearray(size_bytes)
    for index, status in statuses:
        byte, place = divmod(index, 8 // bits)
        if not 0 <= byte < size_bytes or not 0 <= status < 1 << bits:
            raise BadInput("A status does not fit its list.", remedy="Use a longer list, or more bits for each.")
        packed[byte] |= status << (place * bits)
    return StatusList(bits, bytes(packed))


def encode_list(statuses: StatusList) -> dict[str, object]:
    """Return the `status_list` member: how many bits, and the list deflated in the ZLIB format (section 4.2)."""
    return {"bits": statuses.bits, "lst": to_base64url(zlib.compress(statuses.packed, level=9))}


def decode_list(bits: Bits, lst: str, *, size_max_bytes: int = LIST_SIZE_MAX_BYTES) -> StatusList:
    """Return the list behind `lst`, never inflating more than the bound.

    Args:
        bits: how many each status takes.
        lst: base64url of the deflated list.
        size_max_bytes: how large it may be once it is inflated.

    Raises:
        ClaimRejected: not one whole ZLIB stream, or over the bound.
    """
    inflating = zlib.decompressobj()
    try:
        packed = inflating.decompress(from_base64url(lst), size_max_bytes + 1)
    except (zlib.error, BadInput) as error:
        raise _malformed("A status list cannot be inflated.") from error
    if len(packed) > size_max_bytes:
        raise _malformed("A status list is too large.")
    if not inflating.eof or inflating.unused_data:
        raise _malformed("A status list ends early, or something stands behind it.")
    return StatusList(bits, packed)


@dataclass(frozen=True, slots=True)
class StatusToken:
    """A list as its issuer signed it.

    Attributes:
        statuses: the list.
        issued_s, expires_s: seconds since 1970-01-01 UTC.
        ttl_s: how long a copy may be kept before it is fetched anew.
    """

    statuses: StatusList
    issued_s: int
    expires_s: int
    ttl_s: int


def issue_status_token(
    statuses: StatusList, *, uri: str, now_s: int, life_s: int, ttl_s: int, key_id: str, private_key: Ed25519PrivateKey
) -> str:
    """Return the signed list.

    Args:
        statuses: the list.
        uri: the list's name, as the claims have it.
        now_s: seconds since 1970-01-01 UTC, from the caller's clock.
        life_s: how long it may be relied on at all.
        ttl_s: how long a copy may be kept before it is fetched anew.
        key_id: which of the issuer's claim keys.
        private_key: the issuer's.

    Source: section 5.1.
    """
    payload = {"exp": now_s + life_s, "iat": now_s, "status_list": encode_list(statuses), "sub": uri, "ttl": ttl_s}
    return sign_jws(payload, typ=STATUS_TYP, key_id=key_id, private_key=private_key)


def verify_status_token(
    token: str, *, uri: str, keys: Mapping[str, Ed25519PublicKey], now_s: int, leeway_s: int = LEEWAY_S
) -> StatusToken:
    """Return the list that a token holds, once everything about it was checked.

    Args:
        token: from anybody.
        uri: the list that is asked for.
        keys: the issuer's claim keys, by key id.
        now_s: seconds since 1970-01-01 UTC, from the caller's clock.
        leeway_s: how far the issuer's clock may differ from ours.

    Raises:
        ClaimRejected: malformed, wrongly signed, of another list, expired, or from the future.

    Source: section 8.3.
    """
    try:
        content = verify_jws(token, typ=STATUS_TYP, keys=keys)
    except BadInput as error:
        raise _malformed(error.problem) from error
    except SignatureRejected as error:
        raise ClaimRejected("status_invalid", error.problem, remedy=error.remedy) from error
    said = _parsed(content)
    if said.sub != uri:
        raise _malformed("A status list is another one than was asked for.")
    if not now_s < said.exp <= said.iat + LIFE_MAX_S or said.iat > now_s + leeway_s:
        raise ClaimRejected(
            "status_stale",
            "A status list has expired, or is not from now.",
            remedy="Fetch it anew; compare the clocks.",
        )
    packed = said.status_list
    return StatusToken(decode_list(packed.bits, packed.lst), said.iat, said.exp, said.ttl)


def require_valid(status: Status, token: StatusToken) -> None:
    """Return quietly if a claim's status is `VALID` in the list that it names.

    Raises:
        ClaimRejected: it is anything else, or the list has no such place.
    """
    if token.statuses.at(status.status_list.idx) != VALID:
        raise ClaimRejected(
            "claim_revoked", "A claim was revoked by its issuer.", remedy="Do not use it; ask for a new one."
        )


def _parsed(content: Mapping[str, Any]) -> _Token:
    try:
        return _Token.model_validate(content)
    except ValidationError as error:
        raise _malformed("A status list token is not of its form.") from error


def _malformed(problem: str) -> ClaimRejected:
    return ClaimRejected("status_invalid", problem, remedy="Publish the list by draft-ietf-oauth-status-list.")
