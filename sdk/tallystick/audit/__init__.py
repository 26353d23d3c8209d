"""Audit the ledgers of one or more companies from their published files alone; no raw data is needed.

rules        what each finding's id stands for
explained    what they are replayed from, and what they cannot see
findings     what was found, bounded and printable
keys         whose signatures a checkpoint must carry, and who said so
source       a log in a folder, or at a node
integrity    signatures, bundles, tiles, root, and no file more; by one process, many, or a cluster
replay       what the entries mean together
key_history  what signed, against the keys that the log tells of
views        what others saw of the log
overflow     what a replay remembers and memory has no room for
log          one log, with every rule; `line` the logs in their order
cross        two companies' books side by side
state        a saved audit, for the next one to go on from
exhibits     evidence that convinces a third party
collecting   no search for garbage while a log is replayed
report       what it all comes to; `table` shows it to people
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from tallystick.audit.collecting import without_collecting
from tallystick.audit.cross import check_chains, cross_check
from tallystick.audit.exhibits import Exhibit, Exhibits
from tallystick.audit.explained import SUBJECTS, all_explained, explained
from tallystick.audit.findings import printable
from tallystick.audit.integrity import ALONE, Crew, Progress, open_crew
from tallystick.audit.line import Line
from tallystick.audit.log import Asked, AuditedLog
from tallystick.audit.overflow import Overflow
from tallystick.audit.report import KeyUse, LogReport, Report
from tallystick.audit.rules import LIMITS, RULES, rules_for
from tallystick.audit.source import AuditNotRun, DirectorySource, Source, WebSource, open_web, shown_origin
from tallystick.audit.state import SavedAudit, Saver, read_state, write_state
from tallystick.audit.table import report_table
from tallystick.audit.views.witnesses import has_addresses
from tallystick_consent.replay import count_receipts, count_untold
from tallystick_ledger.encoding import to_base64

__all__ = [
    "ALONE",
    "LIMITS",
    "RULES",
    "SUBJECTS",
    "Asked",
    "AuditNotRun",
    "Crew",
    "DirectorySource",
    "Exhibit",
    "KeyUse",
    "LogReport",
    "Overflow",
    "Progress",
    "Report",
    "SavedAudit",
    "Saver",
    "Source",
    "WebSource",
    "all_explained",
    "audit",
    "explained",
    "open_crew",
    "open_web",
    "read_state",
    "report_table",
    "write_state",
]


@without_collecting()
def audit(
    sources: Sequence[Source],
    *,
    asked: Asked | None = None,
    since: Sequence[SavedAudit | None] = (),
    savers: Sequence[Saver] = (),
) -> Report:
    """Return what an audit of these logs finds: each alone, then every two against each other.

    Args:
        sources: logs, each opened with the keys to check it under.
        asked: how to audit them; None for this process alone, every rule, and nobody asked.
        since: for each source, the earlier audit to go on from; none where all begin at the start.
        savers: for each source, what keeps how far its audit came; none where nobody wants to go on from it.

    Raises:
        AuditNotRun: a source cannot be read to its end, or a state cannot be saved.
    """
    asked = asked or Asked()
    if asked.overflow is None:
        with Overflow() as overflow:
            return audit(sources, asked=replace(asked, overflow=overflow), since=since, savers=savers)
    exhibits, earlier = Exhibits(), _each(since, sources)
    _check_order(earlier, sources)
    line = Line(sources, earlier, asked, exhibits)
    audited = [line.finish(at, saver=saver) for at, saver in enumerate(_each(savers, sources))]
    logs = [log for log in audited if log is not None]
    # Of one log alone, with nothing to hold it against, it is said what was not followed.
    is_one = len(sources) == 1
    notes = list(check_chains(logs)) if is_one else cross_check(logs, exhibits=exhibits, pause=asked.pause)
    return Report(
        sources=tuple(_told(source, log, asked) for source, log in zip(sources, audited, strict=True)),
        findings=tuple(finding for found in line.found for finding in found.all()),
        rules=rules_for(
            len(sources),
            replayed=not asked.integrity_only,
            continued=any(each is not None for each in since),
            dated=asked.max_age_s is not None,
            asked=asked.http is not None and any(has_addresses(source.keys) for source in sources),
        ),
        notes=tuple(printable(note) for note in notes),
        exhibits=tuple(exhibits.kept),
    )


_T = TypeVar("_T")


def _each(given: Sequence[_T], sources: Sequence[Source]) -> Sequence[_T | None]:
    if given and len(given) != len(sources):
        raise AuditNotRun("There is not one saved audit for each log.", remedy="Give one for each, in their order.")
    return given or [None] * len(sources)


def _check_order(since: Sequence[SavedAudit | None], sources: Sequence[Source]) -> None:
    """Refuse saved audits that are of these logs, and of others than those in their places: that accuses nobody."""
    if not any(since):
        return
    shown = [shown_origin(source) for source in sources]
    for each, origin in zip(since, shown, strict=True):
        if each is not None and each.origin != origin and each.origin in shown:
            raise AuditNotRun(
                f"The saved audit of {printable(each.origin)} is given for another log of these.",
                remedy="Give the saved audits in the order of the logs.",
            )


def _told(source: Source, log: AuditedLog | None, asked: Asked) -> LogReport:
    where, notes = printable(source.where), [printable(note) for note in source.keys.notes]
    if log is None:
        return LogReport(where, "", 0, "", (), {}, {}, tuple(notes))
    head = log.head
    notes += [printable(note) for note in log.notes]
    if head.unlisted_count and not source.keys.closed:
        notes.append(f"Signature lines of keys this audit does not know, and did not check: {head.unlisted_count}.")
    if not log.whole and not asked.integrity_only:
        notes.append(f"Only {log.replay.ledger.size} of {head.checkpoint.size} entries were replayed.")
    receipts = count_receipts(log.replay.consent)
    if receipts.undated:
        notes.append(f"Pauses and endings that nobody signed for, and that name no deadline: {receipts.undated}.")
    if untold := count_untold(log.replay.consent):
        notes.append(f"Versions of programs that do not say what their answers tell (version 0.1): {untold}.")
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
        entries=dict(log.replay.kinds),
        unchecked=dict(log.replay.consent.unchecked),
        notes=tuple(notes),
        since=log.since,
        replayed=not asked.integrity_only,
        grades=receipts.grades,
    )
