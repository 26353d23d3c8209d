"""Seal bytes to one partner: HPKE for secrecy, the sender's signature for origin.

HPKE alone does not say who sent it, so the sender signs what it sealed. Plaintexts are padded, so that a length tells
little. Encapsulation draws on OpenSSL's own randomness; all else is passed in.

Source: CONSTRUCTIONS (sealed to a partner), RFC 9180, draft-ietf-hpke-pq (ML-KEM-768 with X25519).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from tallystick_ledger.encoding import from_base64url, length_prefixed, to_base64url
from tallystick_ledger.errors import BadInput, SignatureRejected

SUITE = "MLKEM768-X25519/HKDF-SHA256/AES-256-GCM"
MLKEM_PUBLIC_SIZE_BYTES = 1184
MLKEM_SEED_SIZE_BYTES = 64
X25519_SIZE_BYTES = 32
ENC_SIZE_BYTES = 1120
PADDED_SIZE_MIN_BYTES = 256
LENGTH_SIZE_BYTES = 4
PLAINTEXT_SIZE_MAX_BYTES = 1 << 20

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


@dataclass(frozen=True, slots=True)
class Context:
    """What a sealed message is bound to; both ends must name the same.

    Attributes:
        sender: host name.
        recipient: host name.
        key_id: which of the recipient's seal keys.
        receipt: id of the receipt it goes out under, "" where there is none yet.
        purpose: the receipt's purpose, or what the message is for, such as `link`.
        leaf: leaf hash of the entry that names it, 32 bytes; zeros where there is none.
    """

    sender: str
    recipient: str
    key_id: str
    purpose: str
    receipt: str = ""
    leaf: bytes = bytes(32)

    def info(self) -> bytes:
        """Return the bytes that key derivation is bound to."""
        named = (self.sender, self.recipient, self.key_id, self.receipt, self.purpose)
        return length_prefixed("tallystick/hpke/v1", SUITE, *named) + self.leaf


@dataclass(frozen=True, slots=True)
class SealKey:
    """A partner's private seal key: a seed for ML-KEM-768 (64 bytes), then an X25519 key (32 bytes)."""

    raw: bytes = field(repr=False)

    @property
    def public(self) -> bytes:
        """The public key: ML-KEM-768 (1184 bytes), then X25519 (32 bytes)."""
        mlkem, x25519 = self._parts()
        return mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()

    def private_key(self) -> MLKEM768X25519PrivateKey:
        """Return the key as HPKE takes it."""
        return MLKEM768X25519PrivateKey(*self._parts())

    def _parts(self) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
        assert len(self.raw) == MLKEM_SEED_SIZE_BYTES + X25519_SIZE_BYTES, "a seal key is 96 bytes"
        return (
            MLKEM768PrivateKey.from_seed_bytes(self.raw[:MLKEM_SEED_SIZE_BYTES]),
            X25519PrivateKey.from_private_bytes(self.raw[MLKEM_SEED_SIZE_BYTES:]),
        )


def seal_to(plain: bytes, *, recipient_key: bytes, context: Context, signing_key: Ed25519PrivateKey) -> dict[str, str]:
    """Return the sealed message as JSON members `enc`, `ciphertext` and `signature`, base64url.

    Args:
        plain: at most 1 MiB.
        recipient_key: the recipient's public seal key, as `SealKey.public` writes it.
        context: what the message is bound to.
        signing_key: the sender's `receipt` key.

    Raises:
        BadInput: the recipient's key is not one, or is a point of small order.
    """
    info = context.info()
    try:
        sealed = _SUITE.encrypt(_pad(plain), _public(recipient_key), info)
    except ValueError as error:
        raise BadInput("A partner's seal key is not one.", remedy="Ask the partner for its descriptor.") from error
    enc, ciphertext = sealed[:ENC_SIZE_BYTES], sealed[ENC_SIZE_BYTES:]
    signature = signing_key.sign(_signed(info, enc, ciphertext))
    return {name: to_base64url(raw) for name, raw in zip(_MEMBERS, (enc, ciphertext, signature), strict=True)}


def open_from(message: Mapping[str, Any], *, key: SealKey, context: Context, sender_key: Ed25519PublicKey) -> bytes:
    """Return the plaintext of a sealed message.

    Raises:
        BadInput: the message is not of its form.
        SignatureRejected: not signed by the sender, bound to something else, or changed.
    """
    if set(message) != set(_MEMBERS) or not all(isinstance(value, str) for value in message.values()):
        raise BadInput("A sealed message has other members than it must have.", remedy="Seal it with this version.")
    enc, ciphertext, signature = (from_base64url(message[name]) for name in _MEMBERS)
    if len(enc) != ENC_SIZE_BYTES:
        raise BadInput("A sealed message's enc is not 1120 bytes.", remedy="Seal it with this version.")
    info = context.info()
    try:
        sender_key.verify(signature, _signed(info, enc, ciphertext))
        padded = _SUITE.decrypt(enc + ciphertext, key.private_key(), info)
    except (InvalidSignature, InvalidTag, ValueError) as error:
        raise SignatureRejected(
            "A sealed message does not open for this sender, recipient and purpose.",
            remedy="Compare both partners' descriptors, then send it again.",
        ) from error
    return _unpad(padded)


_MEMBERS = ("enc", "ciphertext", "signature")


def _signed(info: bytes, enc: bytes, ciphertext: bytes) -> bytes:
    return length_prefixed("tallystick/sealed/v1", info, enc, ciphertext)


def _public(raw: bytes) -> MLKEM768X25519PublicKey:
    return MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(raw[:MLKEM_PUBLIC_SIZE_BYTES]),
        X25519PublicKey.from_public_bytes(raw[MLKEM_PUBLIC_SIZE_BYTES:]),
    )


def _pad(plain: bytes) -> bytes:
    """Return length, plaintext and zeros, 256 * 2^k bytes together."""
    assert len(plain) <= PLAINTEXT_SIZE_MAX_BYTES, "a sealed message is at most 1 MiB"
    needed = LENGTH_SIZE_BYTES + len(plain)
    size = PADDED_SIZE_MIN_BYTES
    while size < needed:
        size *= 2
    return length_prefixed(plain).ljust(size, b"\0")


def _unpad(padded: bytes) -> bytes:
    length = int.from_bytes(padded[:LENGTH_SIZE_BYTES], "big")
    plain = padded[LENGTH_SIZE_BYTES:][:length]
    if len(plain) > PLAINTEXT_SIZE_MAX_BYTES or _pad(plain) != padded:
        raise BadInput("A sealed message is not padded as it must be.", remedy="Seal it with this version.")
    return plain
