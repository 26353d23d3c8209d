"""A partner's descriptor: its name, its address, and its public keys by role, signed by its identity key.

Trust starts with two people who compare a fingerprint: SHA-256 of the identity key that signs the descriptor. A newer
descriptor under the same identity replaces an older one, and never the other way round: so keys change while trust
stays. An older key is listed beside the new one until it ends, and a revoked one with the time since which it counts
for nothing.

Source: DESIGN section 7 (trust), CONSTRUCTIONS (keys).
"""

import hashlib
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tallystick_consent.claims.jws import sign_jws, unchecked_payload, verify_jws
from tallystick_consent.fields import Host, Seconds, Url
from tallystick_ledger.encoding import canonical_json, from_base64url, to_base64url
from tallystick_ledger.errors import BadInput, SignatureRejected
from tallystick_ledger.public_keys import (
    ROLE_ALGORITHM,
    Role,
    is_good_at,
    key_id,
    require_sound_key,
)
from tallystick_ledger.tlog.keys import SignatureKind, VerifierKey

__all__ = [
    "DESCRIPTOR_TYPE",
    "KEYS_MAX",
    "Descriptor",
    "DescriptorOlder",
    "PublicKey",
    "Role",
    "fingerprint",
    "key_id",
    "open_descriptor",
    "open_self_signed",
    "plain_fingerprint",
    "public_key",
    "require_newer",
    "require_not_older",
    "sign_descriptor",
]

DESCRIPTOR_TYPE = "tallystick-descriptor+jwt"

KEYS_MAX = 64
"""Keys that a descriptor may list: one of each role in use, and the newest that are not any more."""


class DescriptorOlder(SignatureRejected):
    """A descriptor is older than the one known of that partner: it would bring back keys that were given up."""

    code = "descriptor_older"


class PublicKey(BaseModel):
    """One key of a partner.

    Attributes:
        id: names the key in signatures; unique in the descriptor.
        public: base64url of the raw public key.
        from_s: from when on it is used.
        until_s: when it ends; None while that is not decided.
        revoked_since_s: from when on nothing under it counts; None where it was not revoked.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z-]{3,10}-[0-9a-f]{8}$")]
    role: Role
    public: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43,1800}$")]
    from_s: Seconds
    until_s: Seconds | None = None
    revoked_since_s: Seconds | None = None

    def is_live(self, now_s: int) -> bool:
        """Return whether what comes now may be signed with this key. A revoked one never counts for what comes now."""
        return self.revoked_since_s is None and self.is_good_at(now_s)

    def is_good_at(self, at_s: int) -> bool:
        """Return whether the key vouches for what is shown, and not only said, to have been signed at a time."""
        return is_good_at(at_s, from_s=self.from_s, until_s=self.until_s, revoked_since_s=self.revoked_since_s)


class Descriptor(BaseModel):
    """What a partner says of itself.

    Attributes:
        host: its name; also the first part of its logs' origins.
        url: where its node is reached, without a trailing slash.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    v: Literal[1]
    host: Host
    url: Url
    livemode: bool
    issued_at: Seconds
    keys: Annotated[tuple[PublicKey, ...], Field(min_length=1, max_length=KEYS_MAX)]

    @model_validator(mode="after")
    def _sound(self) -> "Descriptor":
        if len({key.id for key in self.keys}) != len(self.keys):
            raise ValueError("two keys have one id")
        if len({key.public for key in self.keys}) != len(self.keys):
            raise ValueError("one key has two roles")
        return self

    def live(self, now_s: int) -> Self:
        """Return the descriptor with those keys alone that count for what comes now."""
        return self.model_copy(update={"keys": tuple(key for key in self.keys if key.is_live(now_s))})

    def good_at(self, at_s: int) -> Self:
        """Return the descriptor as it stood at a time: with the keys that vouch for what is shown to be signed then.

        A key that was revoked since a later time is among them, like any other.
        """
        then = (key.model_copy(update={"revoked_since_s": None}) for key in self.keys if key.is_good_at(at_s))
        return self.model_copy(update={"keys": tuple(then)})

    def regardless(self) -> Self:
        """Return the descriptor as if no key had ended or been revoked: for reading what an object says of itself."""
        return self.model_copy(
            update={"keys": tuple(key.model_copy(update={"revoked_since_s": None}) for key in self.keys)}
        )

    def given_up_after(self, at_s: int) -> Self:
        """Return the descriptor without the keys that had ended or were revoked by a time."""
        ends = ((key, (key.until_s, key.revoked_since_s)) for key in self.keys)
        return self.model_copy(
            update={"keys": tuple(key for key, end in ends if all(each is None or each > at_s for each in end))}
        )

    def key(self, role: Role) -> PublicKey:
        """Return the key of a role that is used for what is new: not revoked, and no end of it decided.

        Raises:
            BadInput: the partner has none.
        """
        found = [key for key in self.keys if key.role == role and key.revoked_since_s is None]
        if not found:
            raise BadInput(f"A descriptor has no {role} key.", remedy="Ask the partner for a newer descriptor.")
        return max(found, key=lambda key: (key.until_s is None, key.from_s))

    def ed25519(self, role: Role) -> dict[str, Ed25519PublicKey]:
        """Return the Ed25519 keys of a role that were not revoked, by key id."""
        return {
            key.id: Ed25519PublicKey.from_public_bytes(from_base64url(key.public))
            for key in self.keys
            if key.role == role and key.revoked_since_s is None
        }

    def log_origin(self, year: int) -> str:
        """Return the origin of the partner's log of a year."""
        return f"{self.host}/log/{year}"

    def log_keys(self, origin: str) -> list[VerifierKey]:
        """Return the verifier keys of one of the partner's logs: Ed25519, and ML-DSA-44 of published heads.

        Those that ended are among them, since a head that they signed stays a head; those that were revoked are not.
        """
        kinds = {"log": SignatureKind.ED25519, "log-pq": SignatureKind.COSIGNATURE_ML_DSA_44}
        return [
            VerifierKey(origin, kinds[key.role], from_base64url(key.public))
            for key in self.keys
            if key.role in kinds and key.revoked_since_s is None
        ]


def fingerprint(identity: bytes) -> str:
    """Return what two people compare: SHA-256 of the raw identity key, in hex."""
    return hashlib.sha256(identity).hexdigest()


def sign_descriptor(descriptor: Descriptor, *, identity: Ed25519PrivateKey) -> str:
    """Return the signed descriptor, compact JWS."""
    return sign_jws(
        descriptor.model_dump(mode="json", exclude_none=True),
        typ=DESCRIPTOR_TYPE,
        key_id=descriptor.key("identity").id,
        private_key=identity,
    )


def plain_fingerprint(text: str) -> str:
    """Return a fingerprint as it is kept, whatever colons, spaces and capitals somebody wrote it with."""
    return text.replace(":", "").replace(" ", "").lower()


def open_descriptor(token: str, *, expected_fingerprint: str) -> Descriptor:
    """Return a partner's descriptor, signed by the identity key that two people compared.

    Raises:
        SignatureRejected: signed by another identity key, or changed.
        BadInput: not a descriptor.
    """
    claimed = _parsed(unchecked_payload(token))
    identity = from_base64url(claimed.key("identity").public)
    if fingerprint(identity) != plain_fingerprint(expected_fingerprint):
        raise SignatureRejected(
            "A descriptor's identity key has another fingerprint.",
            remedy="Compare the fingerprint with the partner by another way, a telephone for example.",
        )
    keys = {claimed.key("identity").id: Ed25519PublicKey.from_public_bytes(identity)}
    return _parsed(verify_jws(token, typ=DESCRIPTOR_TYPE, keys=keys))


def open_self_signed(token: str) -> tuple[Descriptor, str]:
    """Return a descriptor that the identity key in it signed, and that key's fingerprint, which nobody has compared.

    Raises:
        SignatureRejected: it was changed.
        BadInput: not a descriptor.
    """
    named = fingerprint(from_base64url(_parsed(unchecked_payload(token)).key("identity").public))
    return open_descriptor(token, expected_fingerprint=named), named


def _parsed(document: Mapping[str, Any]) -> Descriptor:
    try:
        descriptor = Descriptor.model_validate_json(canonical_json(dict(document)))
    except ValidationError as error:
        raise BadInput(
            "A descriptor is not of its form.", remedy="Ask the partner for a descriptor of this version."
        ) from error
    for key in descriptor.keys:
        require_sound_key(ROLE_ALGORITHM[key.role], from_base64url(key.public))
        if key.id != key_id(key.role, from_base64url(key.public)):
            raise BadInput("A key's id is not the one its bytes give.", remedy="Ask the partner for its descriptor.")
    return descriptor


def require_newer(token: str, known: str, *, expected_fingerprint: str) -> Descriptor:
    """Return a partner's descriptor that is to replace the one known of it, once it is shown to be newer.

    Args:
        token: what came, from anybody: the signature says whose it is.
        known: the descriptor that was opened before under the same fingerprint.
        expected_fingerprint: what two people compared.

    Raises:
        SignatureRejected: signed by another identity key.
        BadInput: not a descriptor.
        DescriptorOlder: of another partner than the known one, or not newer than it.
        SignatureRejected: it moves the partner's node to where only an operator may send this one.
    """
    described = open_descriptor(token, expected_fingerprint=expected_fingerprint)
    standing = open_descriptor(known, expected_fingerprint=expected_fingerprint)
    if (described.host, described.livemode) != (standing.host, standing.livemode):
        raise SignatureRejected(
            "A descriptor is of another host than the one it is to replace.", remedy="Add it as a partner of its own."
        )
    if described.issued_at == standing.issued_at:
        raise DescriptorOlder(
            "A descriptor is not newer than the one that is known.", remedy="Ask the partner for its present one."
        )
    require_not_older(described, standing)
    _require_outside(described.url, standing.url)
    return described


def _require_outside(url: str, standing: str) -> None:
    """Return quietly if a partner may move its node to `url` by its own word.

    Raises:
        SignatureRejected: the move gives up TLS, or leads to an address that is not of the open network, such as a
            cloud's own services: this node would call it from within.
    """
    new, old = urlsplit(url), urlsplit(standing)
    if (new.scheme, new.netloc) == (old.scheme, old.netloc):
        return
    is_inside = _is_inside(new.hostname) and not (_is_inside(old.hostname) and not _is_link_local(new.hostname))
    if is_inside or (new.scheme, old.scheme) == ("http", "https"):
        raise SignatureRejected(
            "A partner moves its node to an address that only an operator may take.",
            remedy="If it is right, add the partner again by its new descriptor.",
        )


def _is_inside(host: str | None) -> bool:
    try:
        return not ip_address(host or "").is_global
    except ValueError:
        return host is None or host == "localhost" or host.endswith((".localhost", ".internal", ".local"))


def _is_link_local(host: str | None) -> bool:
    try:
        return ip_address(host or "").is_link_local
    except ValueError:
        return False


def require_not_older(described: Descriptor, known: Descriptor) -> None:
    """Return quietly if a descriptor is not older than the one known of the same identity.

    Raises:
        DescriptorOlder: it is, and would bring back keys that were given up.
    """
    if described.issued_at < known.issued_at:
        raise DescriptorOlder(
            "A descriptor is older than the one that is known.", remedy="Ask the partner for its present one."
        )


def public_key(
    role: Role, public: bytes, *, from_s: int, until_s: int | None = None, revoked_since_s: int | None = None
) -> PublicKey:
    """Return a descriptor's line for a key."""
    return PublicKey(
        id=key_id(role, public),
        role=role,
        public=to_base64url(public),
        from_s=from_s,
        until_s=until_s,
        revoked_since_s=revoked_since_s,
    )
