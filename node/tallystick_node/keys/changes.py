"""What an operator does to a node's keys: rotate one, revoke one, seal them all, and destroy what has ended.

Each change happens in one step, when the list of keys is replaced; before that, a new secret lies beside the others and
means nothing, and after it, a running node takes it up by itself. Of two changes at once, one is refused.

Source: CONSTRUCTIONS (keys), DESIGN section 7 (trust).
"""

import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from tallystick.descriptor import Role
from tallystick_ledger.encoding import to_base64url
from tallystick_ledger.public_keys import KEY_SKEW_MAX_S
from tallystick_ledger.times import DAY_S
from tallystick_node.clock import Clock
from tallystick_node.errors import SettingsInvalid
from tallystick_node.keys.external import KeyHolder
from tallystick_node.keys.files import AskPassphrase, SecretFiles
from tallystick_node.keys.ring import (
    RING_FILE,
    RING_KEYS_MAX,
    SEED_SIZE_BYTES,
    NodeKeys,
    PrivateKey,
    Ring,
    RingKey,
    held_key,
    load_keys,
    private_key,
    public_half,
    secret_text,
    write_ring,
)
from tallystick_node.witness.tally import WitnessTally, tally_name

OVERLAP_DEFAULT_DAYS = 30
OVERLAP_MAX_DAYS = 366

Reason = Literal["compromised", "lost", "superseded"]

REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True, slots=True)
class KeyFolder:
    """A node's keys folder, and what is needed to change it."""

    folder: Path
    files: SecretFiles
    random_bytes: Callable[[int], bytes]
    clock: Clock
    signer: KeyHolder | None = None

    @property
    def now_s(self) -> int:
        """The time, seconds since 1970-01-01 UTC."""
        return self.clock.now_s()

    def load(self) -> NodeKeys:
        """Return the keys as they are now.

        Raises:
            SettingsInvalid, KeysLocked: they cannot be read.
        """
        self.files.finish_resealing()
        return load_keys(self.folder, files=self.files, signer=self.signer)

    def close(self) -> None:
        """Let go of the signer."""
        if self.signer is not None:
            self.signer.close()

    def version(self) -> tuple[int, int]:
        """Return what changes whenever the list of keys is replaced."""
        try:
            status = (self.folder / RING_FILE).stat()
        except OSError:
            return (0, 0)
        return (status.st_ino, status.st_mtime_ns)


def rotate_key(place: KeyFolder, role: Role, *, overlap_days: int) -> NodeKeys:
    """Put a new key in the place of a role's present one, which still counts until the overlap ends.

    The identity key has no overlap: a descriptor is signed by one, and two people compare its fingerprint again.

    Args:
        place: the folder.
        role: whose key.
        overlap_days: 0 to `OVERLAP_MAX_DAYS`.

    Raises:
        SettingsInvalid: there is no such role, or the overlap is out of its bounds; nothing was changed.
        KeysLocked, SignerUnavailable: the keys cannot be read, or the new one not be made; nothing was changed.
    """
    _require_role(role)
    if not 0 <= overlap_days <= OVERLAP_MAX_DAYS:
        raise SettingsInvalid("An overlap is out of its bounds.", remedy=f"Choose 0 to {OVERLAP_MAX_DAYS} days.")
    with _alone(place.folder):
        keys = place.load()
        old = keys.ring.current(role)
        until_s = place.now_s + (0 if role == "identity" else overlap_days * DAY_S)
        ending = old.model_copy(update={"until_s": max(until_s, old.from_s), "changed_s": place.now_s})
        changed = _succeeded(place, keys, old, ending)
        if role == "identity":
            return _destroyed(place, changed, [ending.id])
        return changed


def revoke_key(place: KeyFolder, role: Role, *, since_s: int, reason: Reason, key: str | None = None) -> NodeKeys:
    """Declare that nothing signed with a key since a time counts, destroy its secret, and put a new one in its place.

    Args:
        place: the folder.
        role: whose key.
        since_s: from when on; what is shown to have been signed before stays good.
        reason: why, for the log.
        key: its id, where it is not the role's present key; that one then stays.

    Raises:
        SettingsInvalid: there is no such key, or the time is not within its life; nothing was changed.
        KeysLocked, SignerUnavailable: the keys cannot be read, or the new one not be made; nothing was changed.
    """
    _require_role(role)
    if role == "identity":
        raise SettingsInvalid(
            "An identity key cannot be revoked by a descriptor, since it signs that itself.",
            remedy="Rotate it, tell every partner, and compare the new fingerprint with each.",
        )
    with _alone(place.folder):
        keys = place.load()
        old = keys.ring.current(role) if key is None else _named(keys.ring, role, key)
        if since_s > place.now_s:
            raise SettingsInvalid(
                "A key is revoked since a time that has not come.",
                remedy="Give the first second at which somebody else may have had it.",
            )
        if since_s < old.from_s:
            others = ", ".join(each.id for each in keys.ring.keys if each.role == role and each.from_s <= since_s)
            raise SettingsInvalid(
                f"{old.id} began after that time: it is not the key that was lost then.",
                remedy=f"Name the key that was used at that time with --key: {others}."
                if others
                else "Give the first second at which somebody else may have had it.",
            )
        revoked = old.model_copy(update={"revoked_since_s": since_s, "reason": reason, "changed_s": place.now_s})
        changed = _succeeded(place, keys, old, revoked) if old.is_current else _replaced(place, keys, old, revoked)
        return _destroyed(place, changed, [revoked.id])


def seal_keys(place: KeyFolder) -> list[str]:
    """Seal every secret that lies in clear under the operator's passphrase; return the names of those files.

    Raises:
        KeysLocked: there is no passphrase, or another than that of what is sealed already.
    """
    with _alone(place.folder):
        place.load()
        return place.files.seal_all()


def reseal_keys(place: KeyFolder, passphrase: AskPassphrase) -> list[str]:
    """Seal every secret under another passphrase; return the names of those files.

    A running node goes on with what it has read, and reads no key that is changed later before it is started again.

    Raises:
        SettingsInvalid: they are not sealed at all.
        KeysLocked: there is no passphrase, or another than theirs, or the new one is none; nothing was changed.
    """
    with _alone(place.folder):
        place.load()
        if not place.files.is_sealed:
            raise SettingsInvalid("The keys are not sealed.", remedy="Seal them: tally-node keys encrypt")
        return place.files.reseal_all(passphrase)


def end_keys(place: KeyFolder) -> bool:
    """Destroy the secrets of keys that have ended, so that nobody signs with them or opens what was sealed to them;
    return whether there were any."""
    with _alone(place.folder):
        keys = place.load()
        over = [key.id for key in keys.ring.keys if _is_over(key, place.now_s)]
        _destroyed(place, keys, over)
        return bool(over)


def any_ended(ring: Ring, *, now_s: int) -> bool:
    """Return whether there is anything for `end_keys` to do."""
    return any(_is_over(key, now_s) for key in ring.keys)


def _is_over(key: RingKey, now_s: int) -> bool:
    ended = key.until_s is not None and now_s >= key.until_s + KEY_SKEW_MAX_S
    return key.held != "nowhere" and (ended or key.revoked_since_s is not None)


def _require_role(role: str) -> None:
    if role not in SEED_SIZE_BYTES:
        raise SettingsInvalid("There is no such role.", remedy=f"Choose from {', '.join(SEED_SIZE_BYTES)}.")


def _named(ring: Ring, role: Role, key: str) -> RingKey:
    found = next((each for each in ring.keys if (each.role, each.id) == (role, key)), None)
    if found is None or found.revoked_since_s is not None:
        raise SettingsInvalid(
            "There is no key of that role and id, or it is revoked already.", remedy="Look: tally-node keys list"
        )
    return found


def _succeeded(place: KeyFolder, keys: NodeKeys, old: RingKey, ending: RingKey) -> NodeKeys:
    """End a key, and put a new one in its place."""
    line, private = _made(place, old)
    if old.role in ("witness", "witness-pq"):
        # Nothing was cosigned with it yet. If the power fails here the count is of a key that never is.
        WitnessTally(place.folder.parent).count({tally_name(line.raw): 0})
    if line.id in {key.id for key in keys.ring.keys}:
        raise SettingsInvalid(
            "The signer gives a key that was used before.", remedy="Make a new key there first, then rotate here."
        )
    return _replaced(place, keys, old, ending, (line, private))


def _made(place: KeyFolder, old: RingKey) -> tuple[RingKey, PrivateKey]:
    """Make a key like `old`: at the signer where that one is, else here, on disk before anything names it."""
    if old.held == "signer":
        return held_key(old.role, place.signer, now_s=place.now_s)
    private = private_key(old.role, place.random_bytes(SEED_SIZE_BYTES[old.role]))
    line = RingKey(role=old.role, public=to_base64url(public_half(private)), from_s=place.now_s)
    place.files.write(line.id, secret_text(line, private))
    return line, private


def _replaced(
    place: KeyFolder, keys: NodeKeys, old: RingKey, new: RingKey, more: tuple[RingKey, PrivateKey] | None = None
) -> NodeKeys:
    """Replace a line of the list, and add one; this is the step in which the change happens."""
    lines = [new if key == old else key for key in keys.ring.keys]
    private = dict(keys.private)
    if more is not None:
        lines.append(more[0])
        private[more[0].id] = more[1]
    if len(lines) > RING_KEYS_MAX:
        raise SettingsInvalid("A node has had too many keys.", remedy="Begin a new node.")
    ring = Ring(issued_at=max(place.now_s, keys.ring.issued_at + 1), keys=tuple(lines))
    write_ring(place.folder, ring)
    return NodeKeys(ring, private)


def _destroyed(place: KeyFolder, keys: NodeKeys, ids: list[str]) -> NodeKeys:
    """Say in the list that secrets are nowhere, then destroy them.

    If the power fails in between, a file is left that no line names; the next call removes it. The other way round, a
    line would name a file that is gone, and the node would not start.
    """
    if not ids:
        return keys
    lines = tuple(key.model_copy(update={"held": "nowhere"}) if key.id in ids else key for key in keys.ring.keys)
    ring = keys.ring.model_copy(update={"keys": lines})  # who relies on the key sees no change: not issued anew
    write_ring(place.folder, ring)
    firsts = {key.role: key.id for key in reversed(ring.keys)}
    for key in ring.keys:
        if key.held == "nowhere":
            place.files.remove(key.id)
            if firsts[key.role] == key.id:
                place.files.remove(key.role)
    return NodeKeys(ring, {name: private for name, private in keys.private.items() if name not in ids})


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Keep every other process from changing the keys meanwhile.

    Raises:
        SettingsInvalid: there is no such folder, or somebody else is changing them.
    """
    try:
        opened = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise SettingsInvalid("There are no keys in this folder.", remedy="Name a node's data folder.") from error
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise SettingsInvalid("Somebody else is changing the keys.", remedy="Try again in a moment.") from error
    finally:
        os.close(opened)
