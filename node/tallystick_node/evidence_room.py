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

from tallystick.evidence import EVIDENCE_SIZE_MAX_BYTES, Evidence, TwoHeads, parse_evidence
from tallystick_ledger.errors import TallyError
from tallystick_ledger.tlog.keys import VerifierKey

FILES_MAX = 1_000
"""Whoever could make us keep more could fill the disk."""

log = logging.getLogger(__name__)


class EvidenceRoom:
    """The evidence that a node has found."""

    def __init__(self, folder: Path, *, now_s: Callable[[], int]) -> None:
        """Keep it in `folder`, made when there is any."""
        self._folder = folder
        self._now_s = now_s

    def keep(self, evidence: Evidence) -> None:
        """Keep a piece of evidence; one that is there already is not kept twice."""
        raw = evidence.encode()
        name = f"{evidence.KIND}-{hashlib.sha256(raw).hexdigest()[:16]}.json"
        there = self._files()
        if any(path.name.endswith(name) for path in there):
            return
        if len(there) >= FILES_MAX:
            log.critical("evidence is found and NOT KEPT: there are %d files already", len(there))
            return
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / f"{self._now_s()}-{name}"
        beside = path.with_suffix(".new")
        with beside.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
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
