"""A partner's descriptor: its name, its address, and one public key a role, signed by its identity key.

Trust starts with two people who compare a fingerprint: SHA-256 of the identity key that signs the descriptor.

Source: DESIGN section 7 (trust), CONSTRUCTIONS (keys).
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tallystick_consent.jws import sign_jws, verify_jws
from tallystick_consent.receipt import Host, Seconds
from tallystick_ledger.encoding import canonical_json, from_base64url, parse_json_object, to_base64url
from tallystick_ledger.errors import BadInput, SignatureRejected
from tallystick_ledger.tlog.keys import SignatureKind, VerifierKey

DESCRIPTOR_TYPE = "tallystick-descriptor+jwt"

Role = Literal["identity", "log", "log-pq", "witness", "witness-pq", "claim", "receipt", "http", "webhook", "seal"]


class PublicKey(BaseModel):
    """One key of a partner.

    Attributes:
        id: names the key in signatures; unique in the descriptor.
        public: base64url of the raw public key.
        from_s: from when on it is used.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z-]{3,10}-[0-9a-f]{8}$")]
    role: Role
    public: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43,1800}$")]
    from_s: Seconds


class Descriptor(BaseModel):
    """What a partner says of itself.

    Attributes:
        host: its name; also the first part of its logs' origins.
        url: where its node is reached, without a trailing slash.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    v: Literal[1]
    host: Host
    url: Annotated[str, Field(pattern=r"^https?://[^\s/?#]+(/[^\s?#]*[^\s/?#])?$", max_length=300)]
    livemode: bool
    issued_at: Seconds
    keys: Annotated[tuple[PublicKey, ...], Field(min_length=1, max_length=64)]

    @model_validator(mode="after")
    def _sound(self) -> "Descriptor":
        if len({key.id for key in self.keys}) != len(self.keys):
            raise ValueError("two keys have one id")
        if len({key.public for key in self.keys}) != len(self.keys):
            raise ValueError("one key has two roles")
        return self

    def key(self, role: Role) -> PublicKey:
        """Return the newest key of a role.

        Raises:
            BadInput: the partner has none.
        """
        found = [key for key in self.keys if key.role == role]
        if not found:
            raise BadInput(f"A descriptor has no {role} key.", remedy="Ask the partner for a newer descriptor.")
        return max(found, key=lambda key: key.from_s)

    def ed25519(self, role: Role) -> dict[str, Ed25519PublicKey]:
        """Return the Ed25519 keys of a role, by key id."""
        return {
            key.id: Ed25519PublicKey.from_public_bytes(from_base64url(key.public))
            for key in self.keys
            if key.role == role
        }

    def log_origin(self, year: int) -> str:
        """Return the origin of the partner's log of a year."""
        return f"{self.host}/log/{year}"

    def log_keys(self, origin: str) -> list[VerifierKey]:
        """Return the verifier keys of one of the partner's logs: Ed25519, and ML-DSA-44 of published heads."""
        kinds = {"log": SignatureKind.ED25519, "log-pq": SignatureKind.COSIGNATURE_ML_DSA_44}
        return [
            VerifierKey(origin, kinds[key.role], from_base64url(key.public)) for key in self.keys if key.role in kinds
        ]


def key_id(role: Role, public: bytes) -> str:
    """Return the id of a public key: its role, and the first 8 hex digits of its SHA-256."""
    return f"{role}-{hashlib.sha256(public).hexdigest()[:8]}"


def fingerprint(identity: bytes) -> str:
    """Return what two people compare: SHA-256 of the raw identity key, in hex."""
    return hashlib.sha256(identity).hexdigest()


def sign_descriptor(descriptor: Descriptor, *, identity: Ed25519PrivateKey) -> str:
    """Return the signed descriptor, compact JWS."""
    return sign_jws(
        descriptor.model_dump(mode="json"),
        typ=DESCRIPTOR_TYPE,
        key_id=descriptor.key("identity").id,
        private_key=identity,
    )


def open_descriptor(token: str, *, expected_fingerprint: str) -> Descriptor:
    """Return a partner's descriptor, signed by the identity key that two people compared.

    Raises:
        SignatureRejected: signed by another identity key, or changed.
        BadInput: not a descriptor.
    """
    claimed = _peek(token)
    identity = from_base64url(claimed.key("identity").public)
    if fingerprint(identity) != expected_fingerprint.replace(":", "").replace(" ", "").lower():
        raise SignatureRejected(
            "A descriptor's identity key has another fingerprint.",
            remedy="Compare the fingerprint with the partner by another way, a telephone for example.",
        )
    keys = {claimed.key("identity").id: Ed25519PublicKey.from_public_bytes(identity)}
    return _parsed(verify_jws(token, typ=DESCRIPTOR_TYPE, keys=keys))


def _peek(token: str) -> Descriptor:
    """Read a descriptor before its signature is checked: only to find the key that must have signed it."""
    parts = token.split(".")
    if len(parts) != 3:
        raise BadInput("A descriptor is not a compact JWS.", remedy="Ask the partner for its descriptor.")
    return _parsed(parse_json_object(from_base64url(parts[1])))


def _parsed(document: Mapping[str, Any]) -> Descriptor:
    try:
        descriptor = Descriptor.model_validate_json(canonical_json(dict(document)))
    except ValidationError as error:
        raise BadInput(
            "A descriptor is not of its form.", remedy="Ask the partner for a descriptor of this version."
        ) from error
    for key in descriptor.keys:
        if key.role not in ("seal", "log-pq", "witness-pq"):
            VerifierKey("descriptor", SignatureKind.ED25519, from_base64url(key.public))  # refuses weak keys
        if key.id != key_id(key.role, from_base64url(key.public)):
            raise BadInput("A key's id is not the one its bytes give.", remedy="Ask the partner for its descriptor.")
    return descriptor


def public_key(role: Role, public: bytes, *, from_s: int) -> PublicKey:
    """Return a descriptor's line for a key."""
    return PublicKey(id=key_id(role, public), role=role, public=to_base64url(public), from_s=from_s)
