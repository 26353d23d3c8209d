"""The vault: payloads sealed under their subject's key, and the commitment that stands for each in the ledger.

The ledger keeps a salted hash; the payload and its salt are sealed together. Destroying the subject's key (shredding)
leaves every proof valid and no payload readable. Where keys live is the node's affair, behind `KeyStore`.

Source: CONSTRUCTIONS (payload commitment), NIST SP 800-38D (AES-GCM).
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tallystick_ledger.encoding import length_prefixed
from tallystick_ledger.errors import BadInput, PayloadUnavailable

KEY_SIZE_BYTES = 32
SALT_SIZE_BYTES = 32
NONCE_SIZE_BYTES = 12
PAYLOAD_SIZE_MAX_BYTES = 256 * 1024
_COMMIT = length_prefixed("tallystick/commit/v1")


@dataclass(frozen=True, slots=True)
class Opening:
    """What opens a commitment: the salt and the payload, exactly."""

    salt: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Sealed:
    """A payload that only its subject's key opens, and the commitment that goes into the ledger."""

    commitment: bytes
    ciphertext: bytes


class KeyStore(Protocol):
    """Where subjects' payload keys live; the node implements it."""

    def key_of(self, subject: str) -> bytes:
        """Return the subject's key, 32 bytes.

        Raises:
            PayloadErased: the key was destroyed.
            PayloadUnavailable: there is none.
        """
        ...

    def key_for(self, subject: str) -> bytes:
        """Return the subject's key, made and durably kept first where there is none.

        Raises:
            PayloadErased: the subject was erased; nothing may be sealed for them again.
        """
        ...


def commit(opening: Opening, *, origin: str, entry_id: str, media_type: str) -> bytes:
    """Return the commitment of a payload, 32 bytes.

    Args:
        opening: 32 random bytes of salt, and the payload.
        origin: the host name of the partner in whose ledger the commitment stands.
        entry_id: the entry that carries it, so that it cannot be moved to another.
        media_type: how to read the payload, such as `application/cloudevents+json`.

    Source: CONSTRUCTIONS, `tallystick/commit/v1`.
    """
    assert len(opening.salt) == SALT_SIZE_BYTES, "a commitment's salt is 32 bytes"
    named = length_prefixed(origin, entry_id, media_type, opening.payload)
    return hashlib.sha256(_COMMIT + opening.salt + named).digest()


def check_commitment(commitment: bytes, opening: Opening, *, origin: str, entry_id: str, media_type: str) -> None:
    """Return quietly if `opening` opens `commitment`; raise if it does not.

    Raises:
        PayloadUnavailable: the payload is not the one that was committed to.
    """
    if len(opening.salt) != SALT_SIZE_BYTES or not hmac.compare_digest(
        commitment, commit(opening, origin=origin, entry_id=entry_id, media_type=media_type)
    ):
        raise PayloadUnavailable(
            "A payload does not open the commitment in the ledger.",
            remedy="Ask the node for the payload again, and report it if it fails twice.",
        )


class Vault:
    """Seals and opens the payloads of one partner's ledger."""

    def __init__(self, keys: KeyStore, *, origin: str, random_bytes: Callable[[int], bytes]) -> None:
        self._keys = keys
        self._origin = origin
        self._random_bytes = random_bytes
        self._bound = length_prefixed("tallystick/seal/v1", origin)

    def seal(self, payload: bytes, *, subject: str, entry_id: str, media_type: str) -> tuple[Sealed, Opening]:
        """Return the payload sealed under the subject's key, and the opening of its commitment.

        Raises:
            BadInput: the payload exceeds 256 KiB.
            PayloadErased: the subject was erased.
        """
        if len(payload) > PAYLOAD_SIZE_MAX_BYTES:
            raise BadInput("A payload is larger than 256 KiB.", remedy="Record less, or several events.")
        opening = Opening(self._random_bytes(SALT_SIZE_BYTES), payload)
        nonce = self._random_bytes(NONCE_SIZE_BYTES)
        cipher = AESGCM(self._keys.key_for(subject))
        bound_to = self._bound_to(entry_id, media_type)
        ciphertext = nonce + cipher.encrypt(nonce, opening.salt + opening.payload, bound_to)
        commitment = commit(opening, origin=self._origin, entry_id=entry_id, media_type=media_type)
        return Sealed(commitment, ciphertext), opening

    def open(self, sealed: Sealed, *, subject: str, entry_id: str, media_type: str) -> Opening:
        """Return the opening of a sealed payload, checked against its commitment.

        Raises:
            PayloadErased: the subject's key was destroyed.
            PayloadUnavailable: no key, a changed ciphertext, or another commitment.
        """
        cipher = AESGCM(self._keys.key_of(subject))
        nonce, ciphertext = sealed.ciphertext[:NONCE_SIZE_BYTES], sealed.ciphertext[NONCE_SIZE_BYTES:]
        try:
            plain = cipher.decrypt(nonce, ciphertext, self._bound_to(entry_id, media_type))
        except (InvalidTag, ValueError) as error:
            raise PayloadUnavailable(
                "A sealed payload does not open.", remedy="Restore the database from a backup that holds it."
            ) from error
        opening = Opening(plain[:SALT_SIZE_BYTES], plain[SALT_SIZE_BYTES:])
        check_commitment(sealed.commitment, opening, origin=self._origin, entry_id=entry_id, media_type=media_type)
        return opening

    def _bound_to(self, entry_id: str, media_type: str) -> bytes:
        return self._bound + length_prefixed(entry_id, media_type)
