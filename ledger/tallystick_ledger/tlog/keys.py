"""Verifier keys: their text, their id, and the check of one signature.

Pure: bytes in; a wrong signature raises. A key is refused when it is configured, not when it is used, if signatures
under it would prove nothing: `cryptography` itself accepts low-order and non-canonical Ed25519 keys.

Source: c2sp.org/signed-note ("Signatures", "Verifier keys"); c2sp.org/tlog-cosignature ("Format").
"""

import hashlib
import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from tallystick_ledger.encoding import from_base64, to_base64
from tallystick_ledger.errors import BadInput, NoteMalformed, SignatureRejected
from tallystick_ledger.tlog.cosignature import (
    NAME_SIZE_MAX_BYTES,
    TIMESTAMP_MAX_S,
    TIMESTAMP_SIZE_BYTES,
    ed25519_message,
    ml_dsa_44_message,
)

KEY_ID_SIZE_BYTES = 4


class SignatureKind(IntEnum):
    """The signature types we make and check; the byte stands before the key in a verifier key."""

    ED25519 = 0x01
    """Ed25519 over the text of a note."""

    COSIGNATURE_ED25519 = 0x04
    """Ed25519 over a checkpoint and a time."""

    COSIGNATURE_ML_DSA_44 = 0x06
    """ML-DSA-44 over a checkpoint and a time."""


ED25519 = SignatureKind.ED25519
COSIGNATURE_ED25519 = SignatureKind.COSIGNATURE_ED25519
COSIGNATURE_ML_DSA_44 = SignatureKind.COSIGNATURE_ML_DSA_44

PUBLIC_KEY_SIZE_BYTES = {ED25519: 32, COSIGNATURE_ED25519: 32, COSIGNATURE_ML_DSA_44: 1312}

_NAME = re.compile("[^\x00-\x1f\ud800-\udfff\\s+]+")
_KEY_ID_TEXT = re.compile("[0-9a-f]{8}")


def is_key_name(name: str) -> bool:
    """Return whether a signature line may carry `name`: not empty, no Unicode space, no plus, no control character."""
    return _NAME.fullmatch(name) is not None


def key_id(name: str, type_byte: int, public_key: bytes) -> bytes:
    """Return the 4 bytes that tell the keys of one name apart: SHA-256(name || LF || type || public key)[:4].

    Source: c2sp.org/signed-note, "Signatures".
    """
    return hashlib.sha256(name.encode() + b"\n" + bytes([type_byte]) + public_key).digest()[:KEY_ID_SIZE_BYTES]


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name and the kind of signature it stands for.

    Attributes:
        name: key name, 1 to 255 bytes; for a log, its origin.
        kind: what its signatures are and what they cover.
        public_key: 32 bytes (Ed25519) or 1312 bytes (ML-DSA-44).

    Raises:
        NoteMalformed: the name, kind or length is not one a key can have, or the key is an Ed25519 point under which
            signatures prove nothing.
    """

    name: str
    kind: int
    public_key: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.name) or len(self.name.encode()) > NAME_SIZE_MAX_BYTES:
            raise _malformed("A key name is empty, longer than 255 bytes, or holds a space or a plus.")
        if self.kind not in PUBLIC_KEY_SIZE_BYTES:
            raise _malformed("A key is of a kind we do not check.")
        if len(self.public_key) != PUBLIC_KEY_SIZE_BYTES[SignatureKind(self.kind)]:
            raise _malformed("A public key has the wrong length for its kind.")
        if self.kind != COSIGNATURE_ML_DSA_44:
            _require_sound_point(self.public_key)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the key that a vkey text spells: `name+key id in hex+base64(kind || public key)`.

        Raises:
            NoteMalformed: the text is misspelled, its key id is not of that key, or the key is refused.

        Source: c2sp.org/signed-note, "Verifier keys".
        """
        # The base64 may hold plus signs of its own, the two parts before it may not.
        name, _, rest = text.partition("+")
        id_text, _, coded = rest.partition("+")
        if _KEY_ID_TEXT.fullmatch(id_text) is None or not coded.isascii():
            raise _malformed("A verifier key is not written as name, key id and base64.")
        try:
            raw = from_base64(coded)
        except BadInput as error:
            raise _malformed("A verifier key's base64 is not canonical.") from error
        if not raw:
            raise _malformed("A verifier key has no kind.")
        key = cls(name, raw[0], raw[1:])
        if key.key_id.hex() != id_text:
            raise _malformed("A verifier key does not have the key id it states.")
        return key

    @property
    def key_id(self) -> bytes:
        """The key id, 4 bytes."""
        return key_id(self.name, self.kind, self.public_key)

    @property
    def text(self) -> str:
        """The vkey text, as configuration files and other implementations take it."""
        return f"{self.name}+{self.key_id.hex()}+{to_base64(bytes([self.kind]) + self.public_key)}"

    def check(self, body: bytes, payload: bytes) -> int | None:
        """Return the time of a signature line in seconds since 1970-01-01 UTC, None where its kind carries none.

        Args:
            body: text of the note, with its final newline.
            payload: what follows the key id in the line: a signature, for cosignatures behind 8 bytes of time.

        Raises:
            SignatureRejected: the signature is not of this key over this text.
            NoteMalformed: the line is a cosignature, and the text is no checkpoint.
        """
        kind = SignatureKind(self.kind)
        timestamp_s: int | None = None
        message, signature = body, payload
        if kind is not ED25519:
            timestamp_s, signature = _split_timestamp(payload)
            message = signed_message(kind, body, name=self.name, timestamp_s=timestamp_s)
        try:
            if kind is COSIGNATURE_ML_DSA_44:
                MLDSA44PublicKey.from_public_bytes(self.public_key).verify(signature, message)
            else:
                Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
        except InvalidSignature as error:
            raise _rejected(f"The signature of key {self.name}+{self.key_id.hex()} is wrong.") from error
        return timestamp_s


def signed_message(kind: SignatureKind, body: bytes, *, name: str, timestamp_s: int) -> bytes:
    """Return the bytes that a key of `kind` signs for a note with the text `body`.

    Raises:
        NoteMalformed: the kind is a cosignature, and the text is no checkpoint.
    """
    if kind is ED25519:
        return body
    if kind is COSIGNATURE_ED25519:
        return ed25519_message(body, timestamp_s=timestamp_s)
    return ml_dsa_44_message(body, name=name, timestamp_s=timestamp_s)


def _split_timestamp(payload: bytes) -> tuple[int, bytes]:
    timestamp_s = int.from_bytes(payload[:TIMESTAMP_SIZE_BYTES], "big")
    if timestamp_s > TIMESTAMP_MAX_S:
        raise _rejected("The time of a cosignature is 2^63 or more.")
    return timestamp_s, payload[TIMESTAMP_SIZE_BYTES:]


_FIELD_PRIME = 2**255 - 19

_Y_OF_ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7

_Y_OF_SMALL_ORDER = frozenset((0, 1, _FIELD_PRIME - 1, _Y_OF_ORDER_8, _FIELD_PRIME - _Y_OF_ORDER_8))
"""The y of the eight points whose order divides 8: the neutral one (1), one of order 2 (p - 1), two of order 4 (0),
four of order 8. Anyone can make signatures under them that hold for many messages at once."""


def _require_sound_point(public_key: bytes) -> None:
    """Refuse the keys of small order, in every encoding, and all that have a second encoding.

    The top bit is the sign of x. It is left out: a point of small order stays one when x is negated, and the only
    other points that are misspelled by it, those with x = 0, are of small order too. A y that is on no point needs no
    refusal: nothing verifies under it.

    Source: RFC 8032, section 5.1.3; "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko 2020), table 1.
    """
    y = int.from_bytes(public_key, "little") & ((1 << 255) - 1)
    if y >= _FIELD_PRIME:
        raise _malformed("An Ed25519 key is not in its one canonical encoding.")
    if y in _Y_OF_SMALL_ORDER:
        raise _malformed("An Ed25519 key is a point of small order.")


def _malformed(problem: str) -> NoteMalformed:
    return NoteMalformed(
        problem, remedy="Take the verifier key from its owner again, as c2sp.org/signed-note writes it."
    )


def _rejected(problem: str) -> SignatureRejected:
    return SignatureRejected(problem, remedy="Trust nothing in the note; ask its signer for it again.")
