"""Where a node keeps evidence: a folder of files that `tally verify` checks, each written once and durably.

A file that convicts this node's own log stops publication for as long as it lies there, over every restart: an
operator looks into it, and moves it away.

Source: docs/evidence.md.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tallystick.evidence import EVIDENCE_SIZE_MAX_BYTES, Evidence, Refusal, TwoHeads, parse_evidence
from tallystick_ledger.encoding import length_prefixed
from tallystick_ledger.errors import TallyError
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_node.storage.durable import flush

FILES_MAX = 1_000
"""Whoever could make us keep more could fill the disk; what convicts this node's own log is kept all the same."""

SUBJECT_FILES_MAX = 8
"""Of one kind about one log, and from one witness: the first that was found, and the last ones. A witness that refuses
every second head, or a partner that signs ever new forks, so crowds out nothing but its own."""

log = logging.getLogger(__name__)


class EvidenceRoom:
    """The evidence that a node has found."""

    def __init__(self, folder: Path, *, now_s: Callable[[], int]) -> None:
        """Keep it in `folder`, made when there is any."""
        self._folder = folder
        self._now_s = now_s

    def keep(self, evidence: Evidence, *, even_full: bool = False) -> None:
        """Keep a piece of evidence; one that is there already is not kept twice.

        Where it cannot be written, since the disk is full for example, that is said and no more: what was found counts
        all the same, and nobody is kept from acting on it.

        Args:
            evidence: what was found.
            even_full: whether it is kept where there is no room for others: it convicts this node's own log.
        """
        try:
            self._keep(evidence, even_full=even_full)
        except OSError as error:
            log.critical("evidence is found and NOT KEPT: %s", error.strerror)

    def _keep(self, evidence: Evidence, *, even_full: bool) -> None:
        raw = evidence.encode()
        kind, name = _subject(evidence), f"-{hashlib.sha256(raw).hexdigest()[:16]}.json"
        there = self._files()
        alike = [path for path in there if f"-{kind}-" in path.name]
        if any(path.name.endswith(name) for path in there):
            return
        if len(there) >= FILES_MAX and len(alike) < SUBJECT_FILES_MAX and not even_full:
            log.critical("evidence is found and NOT KEPT: there are %d files already", len(there))
            return
        if not self._folder.exists():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            flush(self._folder.parent)
        path = self._folder / f"{self._now_s()}-{kind}{name}"
        beside = path.with_suffix(".new")
        with beside.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
        flush(self._folder)
        # From here on it is there after a power failure too; one file more of its kind, perhaps.
        for old in alike[1 : max(1, len(alike) + 2 - SUBJECT_FILES_MAX)]:
            old.unlink(missing_ok=True)
        log.critical("evidence is kept in %s", path.name)

    def convicts(self, origin: str, keys: Sequence[VerifierKey]) -> bool:
        """Return whether a file here convicts the log `origin` under its own keys."""
        for path in self._files():
            with suppress(TallyError, OSError):
                if path.stat().st_size <= EVIDENCE_SIZE_MAX_BYTES:
                    evidence = parse_evidence(path.read_bytes())
                    if isinstance(evidence, TwoHeads) and evidence.check(keys).origin == origin:
                        return True
        return False

    @property
    def count(self) -> int:
        """How many pieces there are."""
        return len(self._files())

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.json"))


def _subject(evidence: Evidence) -> str:
    """Return by which part of its name a file tells what it is about: its kind, the log, and the witness if any."""
    head = evidence.newer if isinstance(evidence, TwoHeads) else evidence.head
    witness = evidence.witness if isinstance(evidence, Refusal) else ""
    about = length_prefixed(head.partition(b"\n")[0], witness)
    return f"{evidence.KIND}-{hashlib.sha256(about).hexdigest()[:8]}"
