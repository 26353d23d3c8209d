"""The constructions once more, written from the text of docs/formats.md with `hashlib` and `hmac` alone.

Nothing of the product is imported here: what both computations give is what the text says.
"""

import base64
import hashlib
import hmac
import json


def lp(*parts: bytes | str) -> bytes:
    """Return each part behind its length, 4 bytes big-endian."""
    out = b""
    for part in parts:
        raw = part.encode("utf-8") if isinstance(part, str) else part
        out += len(raw).to_bytes(4, "big") + raw
    return out


def b64(raw: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(raw).decode().replace("=", "")


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def base32_id(prefix: str, raw: bytes) -> str:
    return prefix + "_" + base64.b32encode(raw).decode().replace("=", "").lower()


def sha256(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()


def mac(key: bytes, *parts: bytes | str) -> bytes:
    return hmac.new(key, lp(*parts), hashlib.sha256).digest()


def hkdf(secret: bytes, info: bytes) -> bytes:
    """RFC 5869 with an empty salt, which is 32 zero bytes, and one block of output."""
    extracted = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()


def commitment(salt: bytes, origin: str, entry_id: str, media_type: str, payload: bytes) -> bytes:
    return sha256(lp("tallystick/commit/v1") + salt + lp(origin, entry_id, media_type, payload))


def link_secret(recipient_half: bytes, issuer_half: bytes, recipient: str, issuer: str) -> bytes:
    return hkdf(recipient_half + issuer_half, lp("tallystick/link/v1", recipient, issuer))


def link_id(k_link: bytes) -> str:
    return base32_id("lnk", mac(k_link, "tallystick/link-id/v1")[:16])


def nullifier(k_link: bytes, issuer: str, recipient: str, program: str, period: str, slot: int) -> bytes:
    return mac(k_link, "tallystick/nullifier/v1", issuer, recipient, program, period, str(slot))


def payer_unique(k_member: bytes, payer: str, program: str, period: str, slot: int) -> bytes:
    return mac(k_member, "tallystick/pay/v1", payer, program, period, str(slot))


def link_unique(k_unique: bytes, recipient: str, program: str, subject: str) -> bytes:
    return mac(k_unique, "tallystick/link-unique/v1", recipient, program, subject)


def resource_id(k_resource: bytes, k_link: bytes, kind: str, name: str) -> str:
    return base32_id("res", mac(k_resource, "tallystick/resource/v1", k_link, kind, name)[:16])


def claim_digest(claim: str, salt: bytes) -> bytes:
    return sha256(lp("tallystick/claim/v1") + salt + lp(claim))


def sealed_info(sender: str, recipient: str, key_id: str, receipt: str, purpose: str, leaf: bytes) -> bytes:
    suite = "MLKEM768-X25519/HKDF-SHA256/AES-256-GCM"
    return lp("tallystick/hpke/v1", suite, sender, recipient, key_id, receipt, purpose) + leaf


def sealed_message(info: bytes, enc: bytes, ciphertext: bytes) -> bytes:
    """Return what the sender of a sealed message signs."""
    return lp("tallystick/sealed/v1", info, enc, ciphertext)


def padded(plain: bytes) -> bytes:
    size = 256
    while size < 4 + len(plain):
        size *= 2
    return lp(plain) + bytes(size - 4 - len(plain))


def labelled_digest(label: str, raw: bytes) -> bytes:
    return sha256(lp(label, raw))


def plain_json(value: object) -> bytes:
    """Return canonical JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry)
