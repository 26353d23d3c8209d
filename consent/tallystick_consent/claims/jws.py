"""Compact JSON Web Signatures with alg `Ed25519`, and no other.

Pure: text in, text or values out; keys are passed in. What a header may say is a closed list: whatever could choose
another key or another algorithm (`jwk`, `x5c`, `b64`, `crit`, `none`, ...) is refused for being there at all.

Source: RFC 7515 sections 3 and 7.1 (compact form), RFC 9864 section 2.2 (alg `Ed25519`), RFC 8725 section 3.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tallystick_ledger.encoding import canonical_json, from_base64url, parse_json_object, to_base64url
from tallystick_ledger.errors import BadInput, SignatureRejected

ALGORITHM = "Ed25519"

TOKEN_SIZE_MAX_BYTES = 64 * 1024

_BY_ID, _ALONE = frozenset({"alg", "kid", "typ"}), frozenset({"alg", "typ"})
"""What a header has, and nothing else: where it names the key, and where that is known from elsewhere."""

CheckSignature = Callable[[bytes, bytes], None]
"""Takes signature and message; raises `InvalidSignature`. `Ed25519PublicKey.verify` is one."""

FindKey = Callable[[Mapping[str, object]], CheckSignature]
"""Takes a protected header; returns what checks the signature, or raises `SignatureRejected` if it will not have it.

The whole policy on headers, keys and algorithms stands in one such function, so that a test can bring another one.
"""


def sign_jws(payload: Mapping[str, object], *, typ: str, key_id: str | None, private_key: Ed25519PrivateKey) -> str:
    """Return the compact JWS of `payload`, header and payload in canonical JSON.

    Args:
        payload: what is signed.
        typ: the kind of token, so that no token passes for one of another kind.
        key_id: which of the signer's keys; None only where the verifier knows the key from elsewhere (`only_key`).
        private_key: the signer's.

    Raises:
        BadInput: the payload has no canonical JSON, or the token would be over `TOKEN_SIZE_MAX_BYTES`.

    Source: RFC 7515, section 5.1.
    """
    return sign_payload(canonical_json(dict(payload)), typ=typ, key_id=key_id, private_key=private_key)


def sign_payload(payload: bytes, *, typ: str, key_id: str | None, private_key: Ed25519PrivateKey) -> str:
    """Return the compact JWS of a payload that is canonical JSON already; else as `sign_jws`.

    Raises:
        BadInput: the token would be over `TOKEN_SIZE_MAX_BYTES`.
    """
    message = f"{_header(typ, key_id)}.{to_base64url(payload)}"
    token = f"{message}.{to_base64url(private_key.sign(message.encode('ascii')))}"
    if len(token) > TOKEN_SIZE_MAX_BYTES:
        raise _too_long()
    return token


def verify_jws(token: str, *, typ: str, keys: Mapping[str, Ed25519PublicKey]) -> dict[str, Any]:
    """Return the payload of a compact JWS that one of `keys` signed.

    Args:
        token: the compact form, from anybody.
        typ: the kind of token expected.
        keys: the keys trusted for this kind, by key id.

    Raises:
        BadInput: not a compact JWS of canonical base64url and JSON objects, or too long.
        SignatureRejected: another header than alg, kid and typ, another type, an unknown key, or a wrong signature.

    Source: RFC 7515, section 5.2.
    """
    return open_jws(token, typ=typ, find_key=key_by_id(keys))


def open_jws(token: str, *, typ: str, find_key: FindKey) -> dict[str, Any]:
    """Return the payload of a compact JWS whose header `find_key` accepts; as `verify_jws` in everything else.

    The payload is not looked at before its signature is good.
    """
    if len(token) > TOKEN_SIZE_MAX_BYTES:
        raise _too_long()
    segments = token.split(".")
    if len(segments) != 3 or not token.isascii():
        raise BadInput("A token is not three segments of ASCII.", remedy="Send a JWS in its compact form.")
    header = _read_header(segments[0])
    if header.get("typ") != typ:
        raise SignatureRejected("A token is of another type.", remedy=f"Send one of typ {typ}.")
    check = find_key(header)
    try:
        check(from_base64url(segments[2]), token[: token.rindex(".")].encode("ascii"))
    except InvalidSignature:
        raise SignatureRejected(
            "The signature of a token is wrong.", remedy="Send the token exactly as it was signed."
        ) from None
    return parse_json_object(from_base64url(segments[1]))


def unchecked_payload(token: str) -> dict[str, Any]:
    """Return what a token says, without looking at its signature: to find whose it must be, or where it is one's own.

    Raises:
        BadInput: not three segments with a JSON object in canonical base64url in the second, or too long.
    """
    return _unchecked(token, 1)


def typ_of(token: str) -> str:
    """Return the kind that a token says it is of, without looking at its signature: to know as which to open it.

    Raises:
        BadInput: not three segments with a JSON object in canonical base64url in the first, or too long.
    """
    kind = _unchecked(token, 0).get("typ")
    return kind if isinstance(kind, str) else ""


def key_id_of(token: str) -> str:
    """Return which key a token says it is signed with; "" where it says none.

    Raises:
        BadInput: as `typ_of`.
    """
    named = _unchecked(token, 0).get("kid")
    return named if isinstance(named, str) else ""


def _unchecked(token: str, at: int) -> dict[str, Any]:
    if len(token) > TOKEN_SIZE_MAX_BYTES:
        raise _too_long()
    segments = token.split(".")
    if len(segments) != 3:
        raise BadInput("A token is not three segments.", remedy="Send a JWS in its compact form.")
    return parse_json_object(from_base64url(segments[at]))


def key_by_id(keys: Mapping[str, Ed25519PublicKey]) -> FindKey:
    """Return the policy for headers of exactly alg `Ed25519`, typ, and the kid of one of `keys`."""

    def find(header: Mapping[str, object]) -> CheckSignature:
        _require_header(header, _BY_ID)
        key_id = header["kid"]
        key = keys.get(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise SignatureRejected(
                "A token names a key that is not trusted here.", remedy="Sign with a key that the descriptor lists."
            )
        return key.verify

    return find


def only_key(key: Ed25519PublicKey) -> FindKey:
    """Return the policy for headers of exactly alg `Ed25519` and typ, where `key` is known from elsewhere."""

    def find(header: Mapping[str, object]) -> CheckSignature:
        _require_header(header, _ALONE)
        return key.verify

    return find


def _require_header(header: Mapping[str, object], names: frozenset[str]) -> None:
    if frozenset(header) != names:
        raise SignatureRejected(
            "A token's header has too many or too few members.", remedy=f"Send exactly {', '.join(sorted(names))}."
        )
    if header["alg"] != ALGORITHM:
        raise SignatureRejected("A token is signed by another algorithm.", remedy=f"Sign with alg {ALGORITHM}.")


@lru_cache(maxsize=64)
def _header(typ: str, key_id: str | None) -> str:
    members = {"alg": ALGORITHM, "typ": typ} if key_id is None else {"alg": ALGORITHM, "kid": key_id, "typ": typ}
    return to_base64url(canonical_json(members))


@lru_cache(maxsize=64)
def _read_header(segment: str) -> Mapping[str, object]:
    # A key's tokens all carry the same header, so the last few are remembered; read-only, since callers share them.
    return MappingProxyType(parse_json_object(from_base64url(segment)))


def _too_long() -> BadInput:
    return BadInput("A token is too long.", remedy=f"Keep it within {TOKEN_SIZE_MAX_BYTES} bytes.")
