"""The history of a partner's keys, as its own log tells it: each key added, retired, revoked, and none that comes back.

Pure. The node that writes `key` entries and the auditor who replays them use the same rules. A key's end is logged when
it is decided, not when it comes: a retired key vouches until its `until`, and a revoked one for nothing since `since`.

Source: CONSTRUCTIONS (keys), DESIGN section 4 (`key`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tallystick_ledger.encoding import from_base64url, to_base64url
from tallystick_ledger.errors import BadInput, EntryMalformed, KeyHistoryRefused
from tallystick_ledger.public_keys import (
    KEY_SKEW_MAX_S,
    ROLE_ALGORITHM,
    ROLES,
    Algorithm,
    Role,
    is_good_at,
    key_id,
    require_sound_key,
)


class KeyState(StrEnum):
    """Where a key is in its life."""

    ADDED = "added"
    RETIRED = "retired"
    REVOKED = "revoked"


REASONS = ("", "compromised", "lost", "superseded")
"""Why a key was revoked; "" for what is no revocation."""

_MEMBERS = {"role", "algorithm", "key", "public", "from", "until", "state", "since", "reason"}
_PUBLIC_SIZE_MAX_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One step in the life of a key; the body of a `key` entry.

    Attributes:
        role: what the key is for.
        public: the raw public key.
        from_s: since when it is used, seconds since 1970-01-01 UTC.
        until_s: when it ends; None while that is not decided.
        state: what became of it.
        since_s: from when on that holds: the key's begin, the time its end was decided, or since when nothing under it
            counts any more.
        reason: of a revocation; one of `REASONS`.
    """

    role: Role
    public: bytes
    from_s: int
    until_s: int | None
    state: KeyState
    since_s: int
    reason: str = ""

    @property
    def algorithm(self) -> Algorithm:
        """What the key is used with."""
        return ROLE_ALGORITHM[self.role]

    @property
    def key(self) -> str:
        """The id by which signatures name the key."""
        return key_id(self.role, self.public)

    def body(self) -> dict[str, Any]:
        """Return the entry's body."""
        return {
            "role": self.role,
            "algorithm": str(self.algorithm),
            "key": self.key,
            "public": to_base64url(self.public),
            "from": self.from_s,
            "until": self.until_s or 0,
            "state": str(self.state),
            "since": self.since_s,
            "reason": self.reason,
        }

    def is_good_at(self, at_s: int) -> bool:
        """Return whether the key vouches for what is shown to have been signed at a time."""
        revoked_since_s = self.since_s if self.state is KeyState.REVOKED else None
        return is_good_at(at_s, from_s=self.from_s, until_s=self.until_s, revoked_since_s=revoked_since_s)


def parse_key_change(body: Mapping[str, Any]) -> KeyChange:
    """Return the key change that an entry's body holds.

    Raises:
        EntryMalformed: not of its form, of an unknown role, or of another algorithm or id than the key has.
        WeakKey: nothing signed under that key, or sealed to it, would mean anything.
    """
    if set(body) != _MEMBERS:
        raise _malformed("A key entry has other members than it must have.")
    role, public = _known_role(body["role"]), _public(body["public"])
    from_s, until_s, since_s = (_seconds(body[name]) for name in ("from", "until", "since"))
    if body["algorithm"] != ROLE_ALGORITHM[role]:
        raise _malformed("A key entry names another algorithm than its role has.")
    if body["state"] not in list(KeyState) or body["reason"] not in REASONS:
        raise _malformed("A key entry's state or reason is none.")
    change = KeyChange(role, public, from_s, until_s or None, KeyState(body["state"]), since_s, body["reason"])
    if body["key"] != change.key:
        raise _malformed("A key entry names another key id than its key has.")
    require_sound_key(change.algorithm, public)
    return change


@dataclass(slots=True)
class KeyHistory:
    """The last step of every key that a log has told of, by its raw public key, in the order they were added."""

    changes: dict[bytes, KeyChange] = field(default_factory=dict[bytes, KeyChange])

    def apply(self, change: KeyChange, *, at_s: int) -> None:
        """Take the next step.

        Args:
            change: what the entry says.
            at_s: when the entry was recorded, seconds since 1970-01-01 UTC.

        Raises:
            KeyHistoryRefused: a key comes back, changes, or goes a way that no key goes.
        """
        before = self.changes.get(change.public)
        if change.state is KeyState.ADDED:
            _require(before is None, "A key that was there before is added again.")
            _require(change.since_s == change.from_s, "A key is added as of another time than it begins.")
        else:
            _require(before is not None, f"A key is {change.state} that was never added.")
            assert before is not None, "required above"
            same = (before.role, before.from_s) == (change.role, change.from_s)
            _require(same, "A step of a key changes its role or its begin.")
            _require(before.state is not KeyState.REVOKED, "A key is changed that was revoked.")
            _require(change.since_s >= change.from_s, "A key ends before it begins.")
            _require(change.since_s <= at_s + KEY_SKEW_MAX_S, "A key's end was decided in the future.")
        if change.state is KeyState.RETIRED:
            _require(before is not None and before.state is KeyState.ADDED, "A key is retired twice.")
            _require((change.until_s or 0) >= change.since_s, "A key is retired without an end, or in the past.")
        elif change.state is KeyState.REVOKED:
            _require(before is not None and before.until_s == change.until_s, "A revocation moves a key's end.")
        _require((change.state is KeyState.REVOKED) == bool(change.reason), "Only a revocation has a reason.")
        self.changes[change.public] = change

    def named(self, key: str) -> KeyChange | None:
        """Return the last step of the key with an id, None where the log tells of none."""
        return next((change for change in self.changes.values() if change.key == key), None)


def _known_role(value: object) -> Role:
    for role in ROLES:
        if role == value:
            return role
    raise _malformed("A key entry is for a role that there is not.")


def _public(value: object) -> bytes:
    if not isinstance(value, str) or len(value) > _PUBLIC_SIZE_MAX_CHARS:
        raise _malformed("A key entry's key is not of its form.")
    try:
        return from_base64url(value)
    except BadInput as error:
        raise _malformed("A key entry's key is not of its form.") from error


def _seconds(value: object) -> int:
    # A bool is an int to Python, so the type itself is compared.
    if type(value) is not int or value < 0:
        raise _malformed("A time in a key entry is not of its type.")
    return value


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise KeyHistoryRefused(problem, remedy="Log a key once, then its end, then nothing more of it.")


def _malformed(problem: str) -> EntryMalformed:
    return EntryMalformed(problem, remedy="Write key entries with this version's node.")
