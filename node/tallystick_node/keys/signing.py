"""Who signs the log: at any time the present key of each role, and in an overlap the one before it as well.

Source: CONSTRUCTIONS (keys); c2sp.org/tlog-checkpoint (a log may sign with several keys).
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tallystick_ledger.errors import NoteMalformed, SignatureRejected
from tallystick_ledger.tlog.keys import COSIGNATURE_ML_DSA_44, ED25519, VerifierKey
from tallystick_ledger.tlog.note import open_note
from tallystick_ledger.tlog.signers import Signer
from tallystick_node.keys.files import write_whole
from tallystick_node.keys.ring import NodeKeys

VKEY_FILES = {ED25519: "log.vkey", COSIGNATURE_ML_DSA_44: "log-pq.vkey"}
"""The files beside a log that say whose lines its published head must carry, by kind of key."""


class LogSigners(Protocol):
    """Signs one log's heads."""

    def replies(self, now_s: int) -> Sequence[Signer]:
        """Return who signs a head that travels in a reply, at a time."""
        ...

    def heads(self, now_s: int) -> Sequence[Signer]:
        """Return who signs a published head, at a time."""
        ...

    def keys(self) -> Sequence[VerifierKey]:
        """Return every key that this log was ever signed with."""
        ...

    def revoked(self) -> Mapping[VerifierKey, int]:
        """Return those of them that are revoked, each with the time since when nothing under it counts, in seconds."""
        ...


def counting_keys(signers: LogSigners) -> list[VerifierKey]:
    """Return those of a log's keys under which a head counts: who has stolen one has had it revoked."""
    known, revoked = signers.keys(), signers.revoked()
    return [key for key in known if key not in revoked]


class FixedSigners:
    """Signers that never change: a log's Ed25519 key, and whoever signs its published heads besides."""

    def __init__(self, signer: Signer, *more: Signer) -> None:
        self._replies = [signer]
        self._heads = [signer, *more]

    def replies(self, now_s: int) -> Sequence[Signer]:  # noqa: ARG002
        """Return the first."""
        return self._replies

    def heads(self, now_s: int) -> Sequence[Signer]:  # noqa: ARG002
        """Return all of them."""
        return self._heads

    def keys(self) -> Sequence[VerifierKey]:
        """Return the keys of all of them."""
        return [signer.verifier_key for signer in self._heads]

    def revoked(self) -> Mapping[VerifierKey, int]:
        """Return none."""
        return {}


class NodeSigners:
    """The signers that a node's keys make, as they are now: its keys may change while it runs."""

    def __init__(self, keys_now: Callable[[], NodeKeys], *, origin: str) -> None:
        self._keys_now = keys_now
        self._origin = origin

    def replies(self, now_s: int) -> Sequence[Signer]:
        """Return the Ed25519 keys that have not ended."""
        return self._keys_now().log_signers(self._origin, now_s=now_s)

    def heads(self, now_s: int) -> Sequence[Signer]:
        """Return the Ed25519 and the ML-DSA-44 keys that have not ended."""
        return self._keys_now().head_signers(self._origin, now_s=now_s)

    def keys(self) -> Sequence[VerifierKey]:
        """Return every key that the log was ever signed with."""
        return self._keys_now().log_keys(self._origin)

    def revoked(self) -> Mapping[VerifierKey, int]:
        """Return those of them that are revoked, each with the time since when nothing under it counts."""
        return self._keys_now().revoked_log_keys(self._origin)


def write_vkey_files(folder: Path, note: bytes, keys: Sequence[VerifierKey]) -> None:
    """Say in the files beside the log which of its keys signed the published head, where they say otherwise.

    An auditor of the folder wants a line of every key that stands there, so a key is named once a head carries its
    line, and no longer than that.
    """
    try:
        signed = [each.key for each in open_note(note, keys).verified]
    except (NoteMalformed, SignatureRejected):
        return  # no head of ours is published yet
    for kind, name in VKEY_FILES.items():
        text = "".join(f"{key.text}\n" for key in signed if key.kind == kind)
        path = folder / name
        if text and (not path.exists() or path.read_text(encoding="utf-8") != text):
            write_whole(path, text)
