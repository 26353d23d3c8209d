"""What two partners can compute about one subject together, and nobody else can.

Pure: secrets in, bytes out. Every value is bound to both partners and to what it is for, so that none can be compared
across pairs, programs or audiences.

Source: CONSTRUCTIONS (link secret, link id, nullifier, payer's uniqueness, link uniqueness, claim digest).
"""

import hashlib
import hmac

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tallystick_ledger.encoding import ID_SIZE_BYTES, length_prefixed, new_id

SECRET_SIZE_BYTES = 32


def link_secret(*, recipient_half: bytes, issuer_half: bytes, recipient: str, issuer: str) -> bytes:
    """Return `k_link`, 32 bytes, from the two random halves that the partners sent each other sealed.

    Args:
        recipient_half: 32 random bytes of the partner that receives claims.
        issuer_half: 32 random bytes of the partner that issues them.
        recipient: host name.
        issuer: host name.
    """
    assert len(recipient_half) == len(issuer_half) == SECRET_SIZE_BYTES, "each half is 32 bytes"
    info = length_prefixed("tallystick/link/v1", recipient, issuer)
    return HKDF(SHA256(), SECRET_SIZE_BYTES, salt=None, info=info).derive(recipient_half + issuer_half)


def link_id(k_link: bytes) -> str:
    """Return the link's identifier, the same at both ends; never derived from a customer id."""
    return new_id("lnk", _mac(k_link, "tallystick/link-id/v1")[:ID_SIZE_BYTES])


def nullifier(k_link: bytes, *, issuer: str, recipient: str, program: str, period: str, slot: int) -> bytes:
    """Return the one value, 32 bytes, of a link's slot in a period of a program (named without its version)."""
    return _mac(k_link, "tallystick/nullifier/v1", issuer, recipient, program, period, str(slot))


def payer_unique(k_member: bytes, *, payer: str, program: str, period: str, slot: int) -> bytes:
    """Return `p`, 32 bytes: one for each member of the payer, program, period and slot, whoever issued the claim."""
    return _mac(k_member, "tallystick/pay/v1", payer, program, period, str(slot))


def link_unique(k_unique: bytes, *, recipient: str, program: str, subject: str) -> bytes:
    """Return `u`, 32 bytes: one for each of the issuer's subjects, recipient and program; it stays there."""
    return _mac(k_unique, "tallystick/link-unique/v1", recipient, program, subject)


def resource_id(k_resource: bytes, *, k_link: bytes, kind: str, name: str) -> str:
    """Return the name by which a link knows a resource of its issuer, such as an account.

    It takes both keys: the recipient, which has the link's, cannot try out account numbers; and once the link's secret
    is destroyed, nor can the issuer.

    Args:
        k_resource: the issuer's own, 32 random bytes.
        k_link: the link's secret.
        kind: a `receipts.resources.ResourceKind`.
        name: what the issuer itself calls it.
    """
    message = length_prefixed("tallystick/resource/v1", k_link, kind, name)
    return new_id("res", hmac.digest(k_resource, message, "sha256")[:ID_SIZE_BYTES])


def claim_digest(claim: str, *, salt: bytes) -> bytes:
    """Return the digest, 32 bytes, by which both ledgers name a claim without showing it."""
    assert len(salt) == SECRET_SIZE_BYTES, "a claim's salt is 32 bytes"
    return hashlib.sha256(length_prefixed("tallystick/claim/v1") + salt + length_prefixed(claim)).digest()


def _mac(key: bytes, *parts: str) -> bytes:
    return hmac.digest(key, length_prefixed(*parts), "sha256")
