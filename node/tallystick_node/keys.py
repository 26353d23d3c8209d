"""A node's signing keys: one role, one key, one file that only its owner reads.

Source: CONSTRUCTIONS (keys).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from tallystick.descriptor import Descriptor, PublicKey, Role, fingerprint, key_id, public_key, sign_descriptor
from tallystick_consent.sealing import MLKEM_SEED_SIZE_BYTES, X25519_SIZE_BYTES, SealKey
from tallystick_ledger.encoding import from_base64url, to_base64url
from tallystick_ledger.errors import BadInput
from tallystick_node.config import Settings
from tallystick_node.errors import SettingsInvalid

KEY_FILE_MODE = 0o600
ED25519_ROLES: tuple[Role, ...] = ("identity", "log", "witness", "claim", "receipt", "http", "webhook")
SEED_SIZE_BYTES: dict[Role, int] = {
    **dict.fromkeys(ED25519_ROLES, 32),
    "log-pq": 32,
    "witness-pq": 32,
    "seal": MLKEM_SEED_SIZE_BYTES + X25519_SIZE_BYTES,
}

ADDED_LATER: frozenset[Role] = frozenset({"witness-pq"})
"""Roles that a node made by an earlier version has no key for."""


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """A node's private keys, by role, and since when they are in use."""

    seeds: dict[Role, bytes] = field(repr=False)
    since_s: int

    def ed25519(self, role: Role) -> Ed25519PrivateKey:
        """Return the Ed25519 key of a role."""
        assert role in ED25519_ROLES, "only these roles sign with Ed25519"
        return Ed25519PrivateKey.from_private_bytes(self.seeds[role])

    def log_pq(self) -> MLDSA44PrivateKey:
        """Return the ML-DSA-44 key that cosigns published heads."""
        return MLDSA44PrivateKey.from_seed_bytes(self.seeds["log-pq"])

    def witness_pq(self) -> MLDSA44PrivateKey | None:
        """Return the ML-DSA-44 key that cosigns partners' heads; None in a node made before there was one."""
        seed = self.seeds.get("witness-pq")
        return None if seed is None else MLDSA44PrivateKey.from_seed_bytes(seed)

    def seal(self) -> SealKey:
        """Return the key that partners seal to."""
        return SealKey(self.seeds["seal"])

    def public(self, role: Role) -> bytes:
        """Return the raw public key of a role."""
        if role == "log-pq":
            return self.log_pq().public_key().public_bytes_raw()
        if role == "witness-pq" and (key := self.witness_pq()) is not None:
            return key.public_key().public_bytes_raw()
        if role == "seal":
            return self.seal().public
        return self.ed25519(role).public_key().public_bytes_raw()

    def id(self, role: Role) -> str:
        """Return the id by which signatures name the key of a role."""
        return key_id(role, self.public(role))

    @property
    def fingerprint(self) -> str:
        """What two people compare before they trust this node."""
        return fingerprint(self.public("identity"))

    def descriptor(self, settings: Settings) -> str:
        """Return the node's signed descriptor, compact JWS."""
        keys: tuple[PublicKey, ...] = tuple(
            public_key(role, self.public(role), from_s=self.since_s) for role in SEED_SIZE_BYTES if role in self.seeds
        )
        described = Descriptor(
            v=1,
            host=settings.host,
            url=settings.url,
            livemode=not settings.sandbox,
            issued_at=self.since_s,
            keys=keys,
        )
        return sign_descriptor(described, identity=self.ed25519("identity"))


def make_keys(folder: Path, *, random_bytes: Callable[[int], bytes], now_s: int) -> NodeKeys:
    """Make every key of a new node, each in a file of mode 0600, and return them.

    Raises:
        SettingsInvalid: there are keys already; they are never overwritten.
    """
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    keys = NodeKeys({role: random_bytes(size) for role, size in SEED_SIZE_BYTES.items()}, now_s)
    for role, seed in keys.seeds.items():
        write_secret_file(folder / f"{role}.key", f"{now_s} {to_base64url(seed)}\n")
    return keys


def load_keys(folder: Path) -> NodeKeys:
    """Return the keys in `folder`.

    Raises:
        SettingsInvalid: one is missing, is not of its form, or others may read it.
    """
    seeds: dict[Role, bytes] = {}
    since_s = 0
    for role, size in SEED_SIZE_BYTES.items():
        path = folder / f"{role}.key"
        if role in ADDED_LATER and not path.exists():
            continue
        try:
            if path.stat().st_mode & 0o077:
                raise SettingsInvalid(f"Others may read the {role} key.", remedy=f"chmod 600 {path.name}")
            made_s, _, coded = path.read_text(encoding="ascii").strip().partition(" ")
            seeds[role] = from_base64url(coded)
            since_s = max(since_s, int(made_s))
        except (OSError, ValueError, BadInput) as error:
            raise SettingsInvalid(
                f"The {role} key cannot be read.", remedy="Restore the keys folder from its own backup."
            ) from error
        if len(seeds[role]) != size:
            raise SettingsInvalid(f"The {role} key has a wrong length.", remedy="Restore it from its own backup.")
    return NodeKeys(seeds, since_s)


def write_secret_file(path: Path, text: str) -> None:
    """Write a new file that only its owner reads, durably; refuse to overwrite.

    Raises:
        SettingsInvalid: the file exists.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, KEY_FILE_MODE)
    except FileExistsError as error:
        raise SettingsInvalid(
            "A key file exists already.", remedy="Choose another folder; keys are never overwritten."
        ) from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
