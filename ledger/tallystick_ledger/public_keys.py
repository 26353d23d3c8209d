"""Public keys of a partner, by role: which algorithm, which id, for how long, and which of them prove nothing.

Pure: bytes in; an unsound key raises. A key is refused when it is configured or logged, not when it is used:
`cryptography` itself takes low-order Ed25519 and X25519 points.

Source: CONSTRUCTIONS (keys); RFC 8032 section 5.1.3; RFC 7748 sections 5 and 6.1; FIPS 203 section 7.2; FIPS 204.
"""

import hashlib
from enum import StrEnum
from typing import Literal, get_args

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey

from tallystick_ledger.errors import NoteMalformed, WeakKey
from tallystick_ledger.tlog.keys import COSIGNATURE_ML_DSA_44, ED25519, PUBLIC_KEY_SIZE_BYTES, VerifierKey

Role = Literal["identity", "log", "log-pq", "witness", "witness-pq", "claim", "receipt", "http", "webhook", "seal"]

ROLES: tuple[Role, ...] = get_args(Role)

KEY_SKEW_MAX_S = 300
"""How far apart the clocks of two honest partners may be when a key begins or ends."""


class Algorithm(StrEnum):
    """What a key is used with."""

    ED25519 = "Ed25519"
    ML_DSA_44 = "ML-DSA-44"
    MLKEM768_X25519 = "MLKEM768-X25519"


ROLE_ALGORITHM: dict[Role, Algorithm] = {
    **dict.fromkeys(ROLES, Algorithm.ED25519),
    "log-pq": Algorithm.ML_DSA_44,
    "witness-pq": Algorithm.ML_DSA_44,
    "seal": Algorithm.MLKEM768_X25519,
}

_MLKEM_SIZE_BYTES, _X25519_SIZE_BYTES = 1184, 32
_X25519_PRIME = 2**255 - 19
_X25519_SMALL_ORDER = frozenset(
    (
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        _X25519_PRIME - 1,
    )
)
"""The u of the points of small order on Curve25519 and its twist: with them a shared secret is zero."""


def key_id(role: str, public: bytes) -> str:
    """Return the id of a public key: its role, and the first 8 hex digits of its SHA-256."""
    return f"{role}-{hashlib.sha256(public).hexdigest()[:8]}"


def is_good_at(at_s: int, *, from_s: int, until_s: int | None, revoked_since_s: int | None) -> bool:
    """Return whether a key vouches for what is shown to have been signed at a time.

    Args:
        at_s: when it was signed: shown, not claimed by who signed it.
        from_s: when the key begins.
        until_s: when it ends, None where that is not decided.
        revoked_since_s: from when on it counts for nothing, None where it was not revoked.
    """
    begun = from_s - KEY_SKEW_MAX_S <= at_s
    ended = until_s is not None and at_s >= until_s + KEY_SKEW_MAX_S
    revoked = revoked_since_s is not None and at_s >= revoked_since_s
    return begun and not ended and not revoked


def require_sound_key(algorithm: Algorithm, public: bytes) -> None:
    """Return quietly if `public` is a key that can prove or keep something.

    Raises:
        WeakKey: of another length than its algorithm's, not in its one encoding, or of small order.
    """
    try:
        if algorithm is Algorithm.MLKEM768_X25519:
            _require_sound_seal_key(public)
        else:
            kind = ED25519 if algorithm is Algorithm.ED25519 else COSIGNATURE_ML_DSA_44
            if len(public) != PUBLIC_KEY_SIZE_BYTES[kind]:
                raise weak_key("A public key has the wrong length for its algorithm.")
            VerifierKey("key", kind, public)
    except NoteMalformed as error:
        raise weak_key(error.problem) from error


def _require_sound_seal_key(public: bytes) -> None:
    if len(public) != _MLKEM_SIZE_BYTES + _X25519_SIZE_BYTES:
        raise weak_key("A seal key has the wrong length.")
    try:
        MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_SIZE_BYTES])
    except ValueError as error:
        raise weak_key("A seal key's ML-KEM part is not in its one encoding.") from error
    # The top bit is masked by X25519, so with it set a key has a second spelling.
    u = int.from_bytes(public[_MLKEM_SIZE_BYTES:], "little")
    if u >= _X25519_PRIME:
        raise weak_key("A seal key's X25519 part is not in its one canonical encoding.")
    if u in _X25519_SMALL_ORDER:
        raise weak_key("A seal key's X25519 part is a point of small order.")


def weak_key(problem: str) -> WeakKey:
    """Return the error for a key that proves nothing."""
    return WeakKey(problem, remedy="Make the key anew with this version's node, or ask its owner for a sound one.")
