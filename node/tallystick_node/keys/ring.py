"""A node's signing keys: one role, one meaning, and at any time one key that is used for what is new.

`keys/keys.json` lists every key, with its begin and its end; beside it lies each secret in a file of its own (see
`key_files`), but for those that an external signer holds. The list is replaced in one step, so a change of keys has
happened or it has not.

Source: CONSTRUCTIONS (keys).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tallystick.descriptor import KEYS_MAX, Descriptor, PublicKey, Role, fingerprint, public_key, sign_descriptor
from tallystick_consent.fields import Seconds
from tallystick_consent.sealing import MLKEM_SEED_SIZE_BYTES, X25519_SIZE_BYTES, SealKey
from tallystick_ledger.encoding import from_base64url, to_base64url
from tallystick_ledger.errors import BadInput
from tallystick_ledger.key_history import KeyChange, KeyState
from tallystick_ledger.public_keys import ROLE_ALGORITHM, Algorithm, key_id
from tallystick_ledger.tlog.keys import COSIGNATURE_ED25519, COSIGNATURE_ML_DSA_44, ED25519, VerifierKey
from tallystick_ledger.tlog.signers import CosignatureSigner, NoteSigner, Signer
from tallystick_node.config import Settings
from tallystick_node.errors import SettingsInvalid
from tallystick_node.keys.external import HeldEd25519Key, HeldMLDSA44Key, KeyHolder
from tallystick_node.keys.files import SecretFiles, replace_file, unreadable

RING_FILE = "keys.json"
RING_KEYS_MAX = 10_000
ED25519_ROLES: tuple[Role, ...] = ("identity", "log", "witness", "claim", "receipt", "http", "webhook")
SEED_SIZE_BYTES: dict[Role, int] = {
    **dict.fromkeys(ED25519_ROLES, 32),
    "log-pq": 32,
    "witness-pq": 32,
    "seal": MLKEM_SEED_SIZE_BYTES + X25519_SIZE_BYTES,
}
SIGNER_ROLES: tuple[Role, ...] = (*ED25519_ROLES, "log-pq", "witness-pq")
"""The roles whose key an external signer can hold: those that sign."""

LISTED_SIZE_MAX_CHARS = 30_000
"""What the keys of a descriptor may weigh together, so that it stays a token of 64 KiB."""

STATE_ORDER = {state: at for at, state in enumerate(KeyState)}
"""A key goes from one state to a later one, and never back."""

PrivateKey = Ed25519PrivateKey | MLDSA44PrivateKey | SealKey


class RingKey(BaseModel):
    """One key of a node, as its list of keys has it.

    Attributes:
        public: base64url of the raw public key.
        from_s: since when it is used.
        until_s: when it ends; None for the key that is used for what is new.
        revoked_since_s: since when nothing under it counts; None where it was not revoked.
        reason: of a revocation.
        changed_s: when its end was decided.
        held: where its secret is; `nowhere` once it was destroyed.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    role: Role
    public: str
    from_s: Seconds
    until_s: Seconds | None = None
    revoked_since_s: Seconds | None = None
    reason: Literal["", "compromised", "lost", "superseded"] = ""
    changed_s: Seconds | None = None
    held: Literal["file", "signer", "nowhere"] = "file"

    @property
    def raw(self) -> bytes:
        """The raw public key."""
        return from_base64url(self.public)

    @property
    def id(self) -> str:
        """The id by which signatures name the key."""
        return key_id(self.role, self.raw)

    @property
    def is_current(self) -> bool:
        """Whether this is the key that its role uses for what is new."""
        return self.until_s is None and self.revoked_since_s is None

    def can_sign(self, now_s: int) -> bool:
        """Return whether the key has not ended: in an overlap two of a role have not."""
        return self.revoked_since_s is None and (self.until_s is None or now_s < self.until_s)

    def steps(self) -> list[KeyChange]:
        """Return every step in the life of the key, as the log tells them."""
        role, public = self.role, self.raw
        life = [KeyChange(role, public, self.from_s, None, KeyState.ADDED, self.from_s)]
        if self.until_s is not None:
            decided_s = min(self.from_s if self.changed_s is None else self.changed_s, self.until_s)
            life.append(KeyChange(role, public, self.from_s, self.until_s, KeyState.RETIRED, decided_s))
        if self.revoked_since_s is not None:
            since_s = self.revoked_since_s
            life.append(KeyChange(role, public, self.from_s, self.until_s, KeyState.REVOKED, since_s, self.reason))
        return life

    def line(self) -> PublicKey:
        """Return the descriptor's line for the key."""
        return public_key(
            self.role, self.raw, from_s=self.from_s, until_s=self.until_s, revoked_since_s=self.revoked_since_s
        )


class Ring(BaseModel):
    """Every key that a node has or had, in the order they were made.

    Attributes:
        issued_at: when the list last changed; grows with each change, whatever the clock says.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    v: Literal[1] = 1
    issued_at: Seconds
    keys: Annotated[tuple[RingKey, ...], Field(min_length=1, max_length=RING_KEYS_MAX)]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        try:
            public = {key.raw for key in self.keys}
        except BadInput as error:
            raise ValueError("a key is not base64url") from error
        if len(public) != len(self.keys):
            raise ValueError("a key stands twice")
        return self

    def current(self, role: Role) -> RingKey:
        """Return the key that a role uses for what is new.

        Raises:
            SettingsInvalid: there is none, or more than one.
        """
        found = [key for key in self.keys if key.role == role and key.is_current]
        if len(found) != 1:
            raise unreadable(role)
        return found[0]

    def has(self, role: Role) -> bool:
        """Return whether the role has a key at all: one that was added in a later version may have none."""
        return any(key.role == role and key.is_current for key in self.keys)

    def require_continues(self, logged: Iterable[tuple[str, str]]) -> None:
        """Return quietly if the list is not older than what the log tells.

        Args:
            logged: the public key, base64url, and the last state of every key that the log tells of.

        Raises:
            SettingsInvalid: one of them is not in the list, or has come back in it.
        """
        states = {key.public: STATE_ORDER[key.steps()[-1].state] for key in self.keys}
        if any(states.get(public, -1) < STATE_ORDER[KeyState(state)] for public, state in logged):
            raise SettingsInvalid(
                "The keys folder is older than the log: a key that was given up would come back.",
                remedy="Restore the newest backup of the keys folder; where there is none, begin a new log.",
            )


ADDED_LATER: frozenset[Role] = frozenset({"witness-pq"})
"""Roles that a node made by an earlier version has no key for."""


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """A node's keys: the list of all, and the private halves of those that are here or at its signer."""

    ring: Ring
    private: Mapping[str, PrivateKey] = field(repr=False, compare=False)

    def ed25519(self, role: Role) -> Ed25519PrivateKey:
        """Return the Ed25519 key that a role uses for what is new."""
        return self._ed25519(self.ring.current(role))

    def witness_pq(self) -> MLDSA44PrivateKey | None:
        """Return the ML-DSA-44 key that cosigns partners' heads; None in a node made before there was one."""
        if not self.ring.has("witness-pq"):
            return None
        key = self.private[self.id("witness-pq")]
        assert isinstance(key, MLDSA44PrivateKey), "this role signs with ML-DSA-44"
        return key

    def seal(self) -> SealKey:
        """Return the key that partners seal to."""
        return self.seals()[0][1]

    def seals(self) -> list[tuple[str, SealKey]]:
        """Return every key that a partner may have sealed to, by id, the newest first."""
        keys = [key for key in reversed(self.ring.keys) if key.role == "seal" and key.id in self.private]
        found = [(key.id, self.private[key.id]) for key in keys]
        return [(name, private) for name, private in found if isinstance(private, SealKey)]

    def public(self, role: Role) -> bytes:
        """Return the raw public key that a role uses for what is new."""
        return self.ring.current(role).raw

    def id(self, role: Role) -> str:
        """Return the id by which signatures name that key."""
        return self.ring.current(role).id

    @property
    def fingerprint(self) -> str:
        """What two people compare before they trust this node."""
        return fingerprint(self.public("identity"))

    def log_signers(self, origin: str, *, now_s: int) -> list[Signer]:
        """Return what signs a head of the log in replies: in an overlap the old key too, first."""
        return [NoteSigner(origin, self._ed25519(key)) for key in self._signing("log", now_s)]

    def head_signers(self, origin: str, *, now_s: int) -> list[Signer]:
        """Return what signs a published head: the log's Ed25519 keys, then its ML-DSA-44 keys."""
        privates = (self.private[key.id] for key in self._signing("log-pq", now_s))
        cosigners = [CosignatureSigner(origin, key) for key in privates if isinstance(key, MLDSA44PrivateKey)]
        return [*self.log_signers(origin, now_s=now_s), *cosigners]

    def witness_signers(self, name: str, *, now_s: int) -> list[Signer]:
        """Return what cosigns partners' heads: Ed25519 keys, then ML-DSA-44 keys; in an overlap old ones too, first."""
        keys = [*self._signing("witness", now_s), *self._signing("witness-pq", now_s)]
        privates = (self.private[key.id] for key in keys)
        return [CosignatureSigner(name, key) for key in privates if not isinstance(key, SealKey)]

    def witness_keys(self, name: str) -> list[VerifierKey]:
        """Return every key that this node ever cosigned with: what it itself signed it knows again."""
        kinds = {"witness": COSIGNATURE_ED25519, "witness-pq": COSIGNATURE_ML_DSA_44}
        return [VerifierKey(name, kinds[key.role], key.raw) for key in self.ring.keys if key.role in kinds]

    def live_witness_keys(self, name: str, *, now_s: int) -> list[VerifierKey]:
        """Return those of them that have neither ended nor been revoked: nobody else has one that was stolen before."""
        live = {key.raw for key in self.ring.keys if key.can_sign(now_s)}
        return [key for key in self.witness_keys(name) if key.public_key in live]

    def log_keys(self, origin: str) -> list[VerifierKey]:
        """Return the verifier keys of every key that this log was ever signed with, revoked ones too: what this node
        itself signed it knows again."""
        kinds = {"log": ED25519, "log-pq": COSIGNATURE_ML_DSA_44}
        return [VerifierKey(origin, kinds[key.role], key.raw) for key in self.ring.keys if key.role in kinds]

    def revoked_log_keys(self, origin: str) -> dict[VerifierKey, int]:
        """Return those of them that are revoked, each with the time since when nothing under it counts, in seconds."""
        since_s = {key.raw: key.revoked_since_s for key in self.ring.keys if key.revoked_since_s is not None}
        return {key: since_s[key.public_key] for key in self.log_keys(origin) if key.public_key in since_s}

    def descriptor(self, settings: Settings) -> str:
        """Return the node's signed descriptor, compact JWS.

        It lists the identity key that signs it, and of the other roles every key, the newest where there are too many.
        """
        listed = [key for key in self.ring.keys if key.is_current or key.role != "identity"]
        newest = sorted(listed, key=lambda key: (key.is_current, key.from_s), reverse=True)[:KEYS_MAX]
        sizes = accumulate(len(key.public) for key in newest)
        kept = [key for key, size in zip(newest, sizes, strict=True) if size <= LISTED_SIZE_MAX_CHARS]
        described = Descriptor(
            v=1,
            host=settings.host,
            url=settings.url,
            livemode=not settings.sandbox,
            issued_at=self.ring.issued_at,
            keys=tuple(key.line() for key in listed if key in kept),
        )
        return sign_descriptor(described, identity=self.ed25519("identity"))

    def _signing(self, role: Role, now_s: int) -> list[RingKey]:
        return [key for key in self.ring.keys if key.role == role and key.can_sign(now_s) and key.id in self.private]

    def _ed25519(self, key: RingKey) -> Ed25519PrivateKey:
        private = self.private[key.id]
        assert isinstance(private, Ed25519PrivateKey), "only these roles sign with Ed25519"
        return private


def make_keys(
    folder: Path,
    *,
    random_bytes: Callable[[int], bytes],
    now_s: int,
    files: SecretFiles | None = None,
    sealed: bool = False,
    signer: KeyHolder | None = None,
    at_signer: Collection[Role] = (),
) -> NodeKeys:
    """Make every key of a new node, each in a file of mode 0600, and return them.

    Args:
        folder: where they are to lie.
        random_bytes: the system's CSPRNG.
        now_s: since when they are used.
        files: writes them; None for files in clear.
        sealed: whether they are sealed under the passphrase that `files` asks for.
        signer: holds the keys of the roles in `at_signer`; those are never here.
        at_signer: of `SIGNER_ROLES`.

    Raises:
        SettingsInvalid: there are keys already; they are never overwritten.
        KeysLocked: they are to be sealed, and there is no passphrase.
        SignerUnavailable: the signer does not tell its public keys.
    """
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    files = files or SecretFiles(folder, random_bytes=random_bytes)
    private: dict[str, PrivateKey] = {}
    lines: list[RingKey] = []
    for role in SEED_SIZE_BYTES:
        if role in at_signer:
            line, key = held_key(role, signer, now_s=now_s)
        else:
            key = private_key(role, random_bytes(SEED_SIZE_BYTES[role]))
            line = RingKey(role=role, public=to_base64url(public_half(key)), from_s=now_s)
            files.write(role, secret_text(line, key), sealed=sealed)
        private[line.id] = key
        lines.append(line)
    keys = NodeKeys(Ring(issued_at=now_s, keys=tuple(lines)), private)
    write_ring(folder, keys.ring)
    return keys


def load_keys(folder: Path, *, files: SecretFiles | None = None, signer: KeyHolder | None = None) -> NodeKeys:
    """Return the keys in `folder`.

    Args:
        folder: where they lie.
        files: reads them; None for files in clear.
        signer: holds the keys that the list says are there; asked when something is to be signed, and not before.

    Raises:
        SettingsInvalid: one is missing, is not of its form, or others may read it.
        KeysLocked: they are sealed, and the passphrase is missing or another.
    """
    files = files or SecretFiles(folder, random_bytes=bytes)
    ring = read_ring(folder, files=files)
    private: dict[str, PrivateKey] = {}
    for line in ring.keys:
        if line.held == "file":
            private[line.id] = _read_secret(files, line)
        elif line.held == "signer":
            private[line.id] = _at_signer(line, signer)
    for role in SEED_SIZE_BYTES:
        if role not in ADDED_LATER or ring.has(role):
            ring.current(role)
    return NodeKeys(ring, private)


def read_ring(folder: Path, *, files: SecretFiles | None = None) -> Ring:
    """Return the list of the keys in `folder`.

    Raises:
        SettingsInvalid: it cannot be read.
    """
    return _read_ring(folder, files or SecretFiles(folder, random_bytes=bytes))


def write_ring(folder: Path, ring: Ring) -> None:
    """Replace the list of keys in one step."""
    replace_file(folder / RING_FILE, ring.model_dump_json(indent=1, exclude_none=True) + "\n")


def held_key(role: Role, signer: KeyHolder | None, *, now_s: int) -> tuple[RingKey, PrivateKey]:
    """Return a key that the signer holds for a role, as it tells it now."""
    if role not in SIGNER_ROLES:
        raise SettingsInvalid(
            f"The {role} key cannot be at an external signer.", remedy=f"Choose from {', '.join(SIGNER_ROLES)}."
        )
    if signer is None:
        raise _no_signer(role)
    line = RingKey(role=role, public=to_base64url(signer.public(role)), from_s=now_s, held="signer")
    return line, _at_signer(line, signer)


def private_key(role: Role, seed: bytes) -> PrivateKey:
    """Return the private key of a role that a seed makes."""
    algorithm = ROLE_ALGORITHM[role]
    if algorithm is Algorithm.MLKEM768_X25519:
        return SealKey(seed)
    if algorithm is Algorithm.ML_DSA_44:
        return MLDSA44PrivateKey.from_seed_bytes(seed)
    return Ed25519PrivateKey.from_private_bytes(seed)


def public_half(key: PrivateKey) -> bytes:
    """Return the raw public key of a private one."""
    return key.public if isinstance(key, SealKey) else key.public_key().public_bytes_raw()


def secret_text(line: RingKey, key: PrivateKey) -> str:
    """Return what a secret's file holds: since when the key is used, and its seed."""
    return f"{line.from_s} {to_base64url(_seed(key))}"


def secret_names(line: RingKey) -> Sequence[str]:
    """Return the names that a key's file may have: its id, or for the first of a role the role alone."""
    return (line.id, line.role)


def _seed(key: PrivateKey) -> bytes:
    return key.raw if isinstance(key, SealKey) else key.private_bytes_raw()


def _read_ring(folder: Path, files: SecretFiles) -> Ring:
    try:
        return Ring.model_validate_json((folder / RING_FILE).read_bytes())
    except FileNotFoundError:
        return _first_ring(folder, files)
    except (OSError, ValidationError) as error:
        raise SettingsInvalid(
            "The list of keys cannot be read.", remedy="Restore the keys folder from its own backup."
        ) from error


def _first_ring(folder: Path, files: SecretFiles) -> Ring:
    """Return the list for a node that was made before there was one: one key a role.

    Without the list, nothing would say which key of a role is the present one; so where one was ever changed, its
    absence is not passed over.
    """
    if any("-" in path.stem and path.stem not in SEED_SIZE_BYTES for path in folder.glob("*.key")):
        raise SettingsInvalid("The list of keys is missing.", remedy="Restore the keys folder from its own backup.")
    found: list[tuple[Role, int, PrivateKey]] = []
    for role in SEED_SIZE_BYTES:
        if role not in ADDED_LATER or (folder / f"{role}.key").exists():
            found.append((role, *_parse_secret(role, files.read(role))))
    since_s = max(made_s for _, made_s, _ in found)
    return Ring(
        issued_at=since_s,
        keys=tuple(RingKey(role=role, public=to_base64url(public_half(key)), from_s=since_s) for role, _, key in found),
    )


def _read_secret(files: SecretFiles, line: RingKey) -> PrivateKey:
    text = next((text for name in secret_names(line) if (text := files.read(name)) is not None), None)
    _, key = _parse_secret(line.role, text)
    if public_half(key) != line.raw:
        raise SettingsInvalid(
            f"The {line.role} key is another than the list of keys names.",
            remedy="Restore the keys folder from its own backup.",
        )
    return key


def _parse_secret(role: Role, text: str | None) -> tuple[int, PrivateKey]:
    try:
        made_s, _, coded = (text or "").partition(" ")
        seed, since_s = from_base64url(coded), int(made_s)
    except (ValueError, BadInput) as error:
        raise unreadable(role) from error
    if len(seed) != SEED_SIZE_BYTES[role]:
        raise SettingsInvalid(f"The {role} key has a wrong length.", remedy="Restore it from its own backup.")
    return since_s, private_key(role, seed)


def _at_signer(line: RingKey, signer: KeyHolder | None) -> PrivateKey:
    if signer is None:
        raise _no_signer(line.role)
    held = HeldMLDSA44Key if ROLE_ALGORITHM[line.role] is Algorithm.ML_DSA_44 else HeldEd25519Key
    return held(signer, line.id, line.raw)


def _no_signer(role: Role) -> SettingsInvalid:
    return SettingsInvalid(
        f"The {role} key is at an external signer, and the settings name none.", remedy="Set signer in node.toml."
    )
