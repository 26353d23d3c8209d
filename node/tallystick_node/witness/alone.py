"""A witness that stands alone: what its operator sets up in a folder, and what answers the routes.

It knows nothing of partners, consent or rewards, holds no entries, and calls nobody: it is given the keys of logs.
"""

import asyncio
import json
import secrets
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tallystick_consent.fields import Url
from tallystick_ledger.encoding import from_base64url, to_base64url
from tallystick_ledger.errors import BadInput
from tallystick_ledger.tlog.keys import VerifierKey, is_key_name
from tallystick_ledger.tlog.signers import CosignatureSigner
from tallystick_ledger.tlog.witness import (
    Cosigned,
    WitnessRefused,
    claimed_origin,
    cosign,
    cosign_subtree,
    open_request,
    parse_add_checkpoint,
    parse_sign_subtree,
)
from tallystick_node.clock import Clock
from tallystick_node.errors import SettingsInvalid, no_such_thing
from tallystick_node.keys.files import write_secret_file
from tallystick_node.witness.known import report_refusal
from tallystick_node.witness.memory import Memory, make_memory

SETTINGS_FILE = "witness.toml"
MEMORY_FILE = "witness.db"
KEY_FILES = ("witness.key", "witness-pq.key")
"""Ed25519, and ML-DSA-44; each a seed of 32 bytes."""

SEED_SIZE_BYTES = 32


class WitnessSettings(BaseModel):
    """What `witness.toml` holds.

    Attributes:
        name: the name in its keys, such as `witness.example`; never that of another witness.
        url: where logs reach it; a proxy may stand there.
        bind: where the process listens, `ADDRESS:PORT`.
        sandbox: test keys, and a clock that may be set.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=200)]
    url: Url
    bind: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:\[\]_-]+:[0-9]{1,5}$")]
    sandbox: bool


class WitnessKeys:
    """The two private keys of a witness."""

    def __init__(self, folder: Path, name: str) -> None:
        """Read them from `folder`.

        Raises:
            SettingsInvalid: one is missing, not of its form, or others may read it.
        """
        ed25519, ml_dsa_44 = (_read_seed(folder / file) for file in KEY_FILES)
        self.pq_signer = CosignatureSigner(name, MLDSA44PrivateKey.from_seed_bytes(ml_dsa_44))
        self.signers = [CosignatureSigner(name, Ed25519PrivateKey.from_private_bytes(ed25519)), self.pq_signer]

    @property
    def public(self) -> list[VerifierKey]:
        """The public halves, Ed25519 first."""
        return [signer.verifier_key for signer in self.signers]


def create_witness(
    folder: Path,
    *,
    name: str,
    url: str,
    bind: str,
    sandbox: bool,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> WitnessKeys:
    """Make a witness's settings and keys in an empty folder; return the keys.

    Raises:
        SettingsInvalid: there is something already, or a setting is not of its form.
    """
    if folder.exists() and any(folder.iterdir()):
        raise SettingsInvalid("The folder is not empty.", remedy="Choose another folder.")
    try:
        settings = WitnessSettings(name=name, url=url.rstrip("/"), bind=bind, sandbox=sandbox)
    except ValidationError as error:
        raise SettingsInvalid(
            "A setting is not of its form.", remedy="URL begins with http(s)://, BIND is ADDRESS:PORT."
        ) from error
    if not is_key_name(name):
        raise SettingsInvalid("No key can have that name.", remedy="Give one without spaces or '+', such as a host.")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for file in KEY_FILES:
        write_secret_file(folder / file, f"{to_base64url(random_bytes(SEED_SIZE_BYTES))}\n")
    make_memory(folder / MEMORY_FILE)
    lines = (f"{key} = {json.dumps(value)}\n" for key, value in settings.model_dump().items())
    (folder / SETTINGS_FILE).write_text("".join(lines), encoding="utf-8")
    return WitnessKeys(folder, name)


def load_witness_settings(folder: Path) -> WitnessSettings:
    """Return the settings of the witness in `folder`.

    Raises:
        SettingsInvalid: none there, or not of their form.
    """
    try:
        return WitnessSettings.model_validate(tomllib.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8")))
    except OSError as error:
        raise SettingsInvalid(
            "There is no witness in this folder.", remedy="Run: tally-node witness init FOLDER --name NAME --url URL"
        ) from error
    except (tomllib.TOMLDecodeError, ValidationError, UnicodeDecodeError) as error:
        raise SettingsInvalid(
            f"{SETTINGS_FILE} is not of its form.", remedy="Compare it with one that tally-node witness init writes."
        ) from error


class Witness:
    """A witness that stands alone; closed by whoever opened it."""

    def __init__(self, folder: Path, *, clock: Clock) -> None:
        """Open the witness in `folder`.

        Raises:
            SettingsInvalid: none there, its keys cannot be read, or its memory is gone.
            StorageUnavailable: its memory cannot be used.
        """
        self.settings = load_witness_settings(folder)
        self._keys = WitnessKeys(folder, self.settings.name)
        self._clock = clock
        self.memory = Memory(folder / MEMORY_FILE, own=self._keys.public)

    def close(self) -> None:
        """Release the memory."""
        self.memory.close()

    def policy_lines(self) -> list[str]:
        """Return the lines of a trust policy that name this witness, one for each of its keys."""
        name, url = self.settings.name, self.settings.url
        kinds = ("", "-pq")
        return [f"witness {name}{kind} {key.text} {url}" for kind, key in zip(kinds, self._keys.public, strict=True)]

    async def add_checkpoint(self, raw: bytes) -> bytes:
        """Return its lines for the checkpoint in a request, once they are remembered durably.

        Raises:
            WitnessRefused: with the status that c2sp.org/tlog-witness gives the case.
        """
        return await asyncio.to_thread(self._add_checkpoint, raw)

    async def sign_subtree(self, raw: bytes) -> bytes:
        """Return its line for a part of a tree that it cosigned whole.

        Raises:
            WitnessRefused: with the status that c2sp.org/tlog-witness gives the case.
        """
        return await asyncio.to_thread(self._sign_subtree, raw)

    async def last_cosigned(self, origin_digest: str) -> bytes:
        """Return the checkpoint of a log that it cosigned last.

        Raises:
            NotFound: it never cosigned one of that log.
        """
        note = await asyncio.to_thread(self.memory.last_note, origin_digest)
        if note is None:
            raise no_such_thing()
        return note

    async def last_seen(self, origin_digest: str) -> bytes:
        """Return the same: a witness that stands alone knows of a log only what it cosigned.

        Raises:
            NotFound: it never cosigned one of that log.
        """
        return await self.last_cosigned(origin_digest)

    def _add_checkpoint(self, raw: bytes) -> bytes:
        request = parse_add_checkpoint(raw)
        origin = claimed_origin(request.note)
        now_s = self._clock.now_s()

        def judge(last: Cosigned | None) -> Cosigned:
            return cosign(signed, last=last, signers=self._keys.signers, now_s=now_s)

        try:
            signed = open_request(request, keys=self.memory.keys_of(origin, now_s=now_s))
            return self.memory.cosign(origin, judge).answer
        except WitnessRefused as error:
            report_refusal(error, origin)
            raise

    def _sign_subtree(self, raw: bytes) -> bytes:
        request = parse_sign_subtree(raw)
        origin = claimed_origin(request.note)
        keys = self.memory.keys_of(origin, now_s=self._clock.now_s())
        last = self.memory.last_checkpoint(origin)
        return cosign_subtree(request, keys=keys, own=self._keys.public, last=last, signer=self._keys.pq_signer)


def _read_seed(path: Path) -> bytes:
    try:
        if path.stat().st_mode & 0o077:
            raise SettingsInvalid(f"Others may read {path.name}.", remedy=f"chmod 600 {path.name}")
        seed = from_base64url(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError, BadInput) as error:
        raise SettingsInvalid(f"{path.name} cannot be read.", remedy="Restore the key from its own backup.") from error
    if len(seed) != SEED_SIZE_BYTES:
        raise SettingsInvalid(f"{path.name} has a wrong length.", remedy="Restore the key from its own backup.")
    return seed
