"""Hold a log's head and its company's descriptor against the history of keys that the log itself tells.

A log that tells of no keys is not held against any: it was begun before logs did.

Source: CONSTRUCTIONS (keys), DESIGN section 4 (`key`).
"""

from collections.abc import Sequence

from tallystick.audit.findings import Findings
from tallystick.audit.integrity import Head
from tallystick.audit.source import CHECKPOINT
from tallystick.descriptor import Descriptor, PublicKey
from tallystick_ledger.encoding import from_base64url
from tallystick_ledger.key_history import KeyChange, KeyHistory, KeyState
from tallystick_ledger.tlog.keys import COSIGNATURE_ML_DSA_44, ED25519, VerifierKey

SETTLED_AFTER_S = 3_600
"""A descriptor and a head are fetched one after the other: what changed so shortly before is not held against them."""

_ROLES: dict[int, str] = {ED25519: "log", COSIGNATURE_ML_DSA_44: "log-pq"}


def check_head_keys(head: Head, origin: str, history: KeyHistory, found: Findings) -> None:
    """Check that the keys of the log that signed its head are in its history, and counted when they signed."""
    if not history.changes:
        return
    signed_s = head_time_s(head)
    for each in head.signed:
        key = each.known.key
        if key.name != origin or key.kind not in _ROLES:
            continue
        change, name = history.changes.get(key.public_key), f"{key.name}+{key.key_id.hex()}"
        if change is None or change.role != _ROLES[key.kind]:
            found.add("P1.key_head", CHECKPOINT, f"The log does not tell of {name}, which signed its head.")
        elif signed_s is not None and not change.is_good_at(signed_s):
            found.add("P1.key_head", CHECKPOINT, f"The head is signed by {name}, which was {change.state} before.")


def check_descriptor_keys(descriptor: Descriptor, head: Head, history: KeyHistory, found: Findings) -> None:
    """Check that a descriptor lists the keys that the log tells of, with the same begins and ends."""
    head_s = head_time_s(head)
    if not history.changes or head_s is None:
        return
    listed = {from_base64url(key.public): key for key in descriptor.keys}
    for public, key in listed.items():
        change = history.changes.get(public)
        if change is None:
            if descriptor.issued_at + SETTLED_AFTER_S < head_s:
                _differs(found, f"The log does not tell of {key.id}, which the descriptor lists.")
        elif not _agree(key, change) and max(change.since_s, descriptor.issued_at) + SETTLED_AFTER_S < head_s:
            _differs(found, f"The descriptor says something else of {key.id} than the log does.")
    for change in _present(history):
        if change.public not in listed and change.since_s + SETTLED_AFTER_S < head_s:
            _differs(found, f"The descriptor does not list {change.key}, which the log says is in use.")


def log_keys(history: KeyHistory, origin: str, *, at_s: int) -> list[VerifierKey]:
    """Return the keys that, as a log itself tells, counted for its heads at a time, seconds since 1970-01-01 UTC."""
    kinds = {role: kind for kind, role in _ROLES.items()}
    return [
        VerifierKey(origin, kinds[change.role], change.public)
        for change in history.changes.values()
        if change.role in kinds and change.is_good_at(at_s)
    ]


def head_time_s(head: Head) -> int | None:
    """Return the latest time that a line of a head carries, None where none does."""
    return max((each.timestamp_s for each in head.signed if each.timestamp_s), default=None)


def _present(history: KeyHistory) -> Sequence[KeyChange]:
    return [change for change in history.changes.values() if change.state is KeyState.ADDED]


def _agree(key: PublicKey, change: KeyChange) -> bool:
    revoked_since_s = change.since_s if change.state is KeyState.REVOKED else None
    told = (change.role, change.from_s, change.until_s, revoked_since_s)
    return (key.role, key.from_s, key.until_s, key.revoked_since_s) == told


def _differs(found: Findings, problem: str) -> None:
    found.add("P1.key_descriptor", "descriptor", problem)
