"""The private halves: what signs a line of a note.

Pure: the time is passed in. ML-DSA-44 signing draws randomness inside OpenSSL (FIPS 204, the hedged variant).

Source: c2sp.org/signed-note ("Ed25519 signatures"); c2sp.org/tlog-cosignature ("Format").
"""

from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from tallystick_ledger.tlog.cosignature import TIMESTAMP_MAX_S, TIMESTAMP_SIZE_BYTES, subtree_message
from tallystick_ledger.tlog.keys import (
    COSIGNATURE_ED25519,
    COSIGNATURE_ML_DSA_44,
    ED25519,
    SignatureKind,
    VerifierKey,
    signed_message,
)


class Signer(Protocol):
    """Whatever can sign a line of a note: a key in memory, or one in a vault."""

    @property
    def verifier_key(self) -> VerifierKey:
        """The public half, by which others check the line."""
        ...

    def sign(self, body: bytes, *, now_s: int) -> bytes:
        """Return what follows the key id in the line.

        Args:
            body: text of the note, with its final newline.
            now_s: seconds since 1970-01-01 UTC, from the caller's clock.
        """
        ...


class NoteSigner:
    """Signs the text of a note with Ed25519 (type 01)."""

    def __init__(self, name: str, private_key: Ed25519PrivateKey) -> None:
        """Sign as `name`; for a log, that is its origin."""
        self.verifier_key = VerifierKey(name, ED25519, private_key.public_key().public_bytes_raw())
        self._private_key = private_key

    def sign(self, body: bytes, *, now_s: int) -> bytes:  # noqa: ARG002  # this kind of line carries no time
        """Return the 64-byte signature over `body`."""
        return self._private_key.sign(body)


class CosignatureSigner:
    """Signs checkpoints together with the time, with Ed25519 (type 04) or ML-DSA-44 (type 06) by the key it is given.

    Whether the checkpoint is consistent with what was signed before is for the caller to know.
    """

    def __init__(self, name: str, private_key: Ed25519PrivateKey | MLDSA44PrivateKey) -> None:
        """Cosign as `name`. One Ed25519 key must never cosign under two names: the name is not in its message."""
        self._kind: SignatureKind = (
            COSIGNATURE_ED25519 if isinstance(private_key, Ed25519PrivateKey) else COSIGNATURE_ML_DSA_44
        )
        self.verifier_key = VerifierKey(name, self._kind, private_key.public_key().public_bytes_raw())
        self._private_key = private_key

    def sign(self, body: bytes, *, now_s: int) -> bytes:
        """Return 8 big-endian bytes of time, then the signature over the checkpoint `body` at that time.

        Raises:
            NoteMalformed: the text is no checkpoint.
        """
        assert 0 < now_s <= TIMESTAMP_MAX_S, "a cosignature claims a time, and 0 stands for none"
        message = signed_message(self._kind, body, name=self.verifier_key.name, timestamp_s=now_s)
        return now_s.to_bytes(TIMESTAMP_SIZE_BYTES, "big") + self._private_key.sign(message)

    def sign_subtree(self, *, origin: str, start: int, end: int, root: bytes) -> bytes:
        """Return 8 zero bytes, the time of a part of a tree, then the signature over it; ML-DSA-44 only.

        Args:
            origin: the log.
            start: the first leaf of the part.
            end: the leaf after the last.
            root: its hash, 32 bytes.

        Raises:
            NoteMalformed: a value does not fit the message.
        """
        assert self._kind is COSIGNATURE_ML_DSA_44, "only this kind of key has a message for parts"
        message = subtree_message(
            name=self.verifier_key.name, timestamp_s=0, origin=origin, start=start, end=end, root=root
        )
        return bytes(TIMESTAMP_SIZE_BYTES) + self._private_key.sign(message)
