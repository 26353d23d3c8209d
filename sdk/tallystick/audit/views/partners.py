"""The heads that stand in partners' ledgers (`peer_head`), held against the logs that they are of.

A ledger that names a head which its log never signed accuses itself, not the log. One that is signed must lie on the
log's tree, and the entries that it covers were there when it was seen.

Source: DESIGN section 5 (P1, P16).
"""

import time
from collections.abc import Callable, Iterator, Sequence

from tallystick.audit.exhibits import Exhibits, known_keys
from tallystick.audit.integrity import reader_of
from tallystick.audit.integrity.files import BUNDLE_SIZE_MAX_BYTES
from tallystick.audit.key_history import log_keys
from tallystick.audit.log import AuditedLog
from tallystick.audit.replay import TIME_SLACK_S, SeenAt
from tallystick.audit.views.seen import SeenHead, check_seen
from tallystick_ledger.entry import parse_entry
from tallystick_ledger.errors import BadInput, SignatureRejected
from tallystick_ledger.peer_head import parse_peer_head
from tallystick_ledger.tlog.checkpoint import open_checkpoint
from tallystick_ledger.tlog.keys import VerifierKey


def check_peer_heads(
    logs: Sequence[AuditedLog], *, exhibits: Exhibits, pause: Callable[[float], object] = time.sleep
) -> None:
    """Hold each head that one of `logs` says to have seen of another against that one.

    Args:
        logs: each log once.
        exhibits: keeps two heads that contradict each other.
        pause: waits so many seconds, before a log that shows less than others saw is looked at again.

    Raises:
        AuditNotRun: a log cannot be read any more.
    """
    for log in logs:
        heads = [head for other in logs if other is not log for head in _seen_by(other, log)]
        check_seen(log.source, log.head, log.found, heads, exhibits=exhibits, pause=pause)


def _seen_by(other: AuditedLog, log: AuditedLog) -> Iterator[SeenHead]:
    """Yield the heads of `log` that the ledger of `other` says to have seen, and that `log` has signed."""
    read = reader_of(other.source.files, other.head.checkpoint.size, size_max_bytes=BUNDLE_SIZE_MAX_BYTES)
    for seen in other.replay.peer_heads.seen:
        if seen.checkpoint.origin != log.origin:
            continue
        try:
            # The replay remembers no more of a note than its head; the rest is read again from where it stands.
            note = parse_peer_head(parse_entry(read.entry(seen.index)).body).note
            open_checkpoint(note, origin=log.origin, keys=_keys_at(log, seen.at_s))
        except (BadInput, LookupError, SignatureRejected):
            problem = f"The head is not signed by {log.origin}, under the keys that it is audited with."
            other.found.add("P1.peer_head", f"entry {seen.index}", problem)
            continue
        _check_times(other, seen, log)
        yield SeenHead(seen.checkpoint, note, other.host)


def _keys_at(log: AuditedLog, at_s: int) -> list[VerifierKey]:
    """Return the keys that a log is audited with, and those that its own history says counted at a time."""
    known = known_keys(log.source)
    told = log_keys(log.replay.ledger.keys, log.origin, at_s=at_s)
    return [*known, *(key for key in told if key not in known)]


def _check_times(other: AuditedLog, seen: SeenAt, log: AuditedLog) -> None:
    latest = log.replay.times.latest_before(seen.checkpoint.size)
    if latest is not None and latest[1] > seen.at_s + TIME_SLACK_S:
        problem = f"An entry states a later time than that at which {other.host} had seen a head that covers it."
        log.found.add("P16.window", f"entry {latest[0]}", problem)
