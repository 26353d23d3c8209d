"""Audit the ledgers of one or more companies from their published files alone; no raw data is needed.

rules        what each finding's id stands for
findings     what was found, bounded and printable
keys         whose signatures a checkpoint must carry, and who said so
source       a log in a folder, or at a node
integrity    signatures, bundles, tiles, root, and no file more
rewards      rewards against acceptances, budgets against programs
log          one log, with every rule
cross        two companies' books side by side
report       what it all comes to; `table` shows it to people
"""

from collections.abc import Sequence

from tallystick.audit.cross import cross_check
from tallystick.audit.findings import Findings, printable
from tallystick.audit.integrity import Progress
from tallystick.audit.log import AuditedLog, audit_log
from tallystick.audit.report import KeyUse, LogReport, Report
from tallystick.audit.rules import LIMITS, RULES, rules_for
from tallystick.audit.source import AuditNotRun, DirectorySource, Source, WebSource, open_web
from tallystick.audit.table import report_table
from tallystick_ledger.encoding import to_base64

__all__ = [
    "LIMITS",
    "RULES",
    "AuditNotRun",
    "DirectorySource",
    "KeyUse",
    "LogReport",
    "Progress",
    "Report",
    "Source",
    "WebSource",
    "audit",
    "open_web",
    "report_table",
]


def audit(sources: Sequence[Source], *, progress: Progress | None = None) -> Report:
    """Return what an audit of these logs finds: each alone, then every two against each other.

    Args:
        sources: logs, each opened with the keys to check it under.
        progress: is told after each bundle how many entries of the current log are done, and how many it has.

    Raises:
        AuditNotRun: a source cannot be read to its end.
    """
    audited: list[tuple[Source, Findings, AuditedLog | None]] = []
    for source in sources:
        found = Findings(source.where)
        audited.append((source, found, audit_log(source, found, progress or _no_progress)))
    notes = cross_check([log for _, _, log in audited if log is not None]) if len(sources) > 1 else []
    return Report(
        sources=tuple(_told(source, log) for source, _, log in audited),
        findings=tuple(finding for _, found, _ in audited for finding in found.all()),
        rules=rules_for(len(sources)),
        notes=tuple(printable(note) for note in notes),
    )


def _told(source: Source, log: AuditedLog | None) -> LogReport:
    where, notes = printable(source.where), [printable(note) for note in source.keys.notes]
    if log is None:
        return LogReport(where, "", 0, "", (), {}, {}, tuple(notes))
    head = log.head
    if head.unlisted_count and not source.keys.closed:
        notes.append(f"Signature lines of keys this audit does not know, and did not check: {head.unlisted_count}.")
    if not log.whole:
        notes.append(f"Only {log.ledger.size} of {head.checkpoint.size} entries were replayed.")
    signed = {each.known: each.timestamp_s for each in head.signed}
    return LogReport(
        where=where,
        origin=printable(log.origin),
        size=head.checkpoint.size,
        root=to_base64(head.checkpoint.root),
        keys=tuple(
            KeyUse(
                f"{printable(known.key.name)}+{known.key.key_id.hex()}",
                known.source,
                known in signed,
                signed.get(known),
            )
            for known in (*source.keys.must_sign(log.origin), *source.keys.allowed)
        ),
        entries=dict(log.kinds),
        unchecked=dict(log.consent.unchecked),
        notes=tuple(notes),
    )


def _no_progress(done: int, total: int) -> None:
    """Tell nobody."""
