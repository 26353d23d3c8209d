"""Audit one log: its head, its files, and every rule over its entries."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from tallystick.audit.exhibits import Exhibits, known_keys
from tallystick.audit.findings import Findings
from tallystick.audit.integrity import ALONE, Crew, Head, Point, Progress, TreeCheck, check_head, reader_of
from tallystick.audit.key_history import check_descriptor_keys, check_head_keys
from tallystick.audit.replay import TIME_SLACK_S, LogReplay, settle
from tallystick.audit.source import CHECKPOINT, AuditNotRun, Source
from tallystick.audit.state import SavedAudit, Saver
from tallystick.audit.views.seen import check_seen
from tallystick.audit.views.witnesses import ask_witnesses, has_addresses
from tallystick_ledger.tlog.keys import ED25519


def _no_progress(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How logs are to be audited.

    Attributes:
        progress: is told how many entries of the current log are done, and how many it has.
        crew: does the work; whoever that is, the report is the same.
        integrity_only: whether entries are hashed and not replayed.
        now_s: seconds since 1970-01-01 UTC; needed where `max_age_s` is given.
        max_age_s: how old the newest cosignature of a head may be, seconds; None where that does not matter.
        http: asks the witnesses of a policy what they have seen; None where nobody is asked.
        pause: waits so many seconds, before a log that shows less than others saw is looked at again.
    """

    progress: Progress = _no_progress
    crew: Crew = ALONE
    integrity_only: bool = False
    now_s: int = 0
    max_age_s: int | None = None
    http: httpx.Client | None = None
    pause: Callable[[float], object] = time.sleep


@dataclass(slots=True)
class AuditedLog:
    """A log after its audit, with the state that its entries lead to.

    Attributes:
        whole: whether every entry was replayed; only then does absence in it mean something.
        since: entries that an earlier audit had checked.
        notes: what else the report must say, a sentence each.
    """

    source: Source
    found: Findings
    head: Head
    replay: LogReplay
    whole: bool = False
    since: int = 0
    notes: list[str] = field(default_factory=list[str])

    @property
    def where(self) -> str:
        """How the caller named the log."""
        return self.source.where

    @property
    def origin(self) -> str:
        """The log's origin, `HOST/log/YEAR`."""
        return self.replay.origin

    @property
    def host(self) -> str:
        """The partner whose log it is."""
        return self.replay.host


def audit_log(
    source: Source,
    found: Findings,
    asked: Asked,
    exhibits: Exhibits,
    *,
    since: SavedAudit | None = None,
    saver: Saver | None = None,
) -> AuditedLog | None:
    """Return the log at `source` after its audit; None where it has no head that can be read.

    Args:
        source: the log, opened with the keys to check it under.
        found: is told what does not hold.
        asked: how to audit it.
        exhibits: keeps the evidence.
        since: the earlier audit to go on from, which is used up by this; None to begin at the start.
        saver: keeps how far this one came; None where nobody wants to go on from it.

    Raises:
        AuditNotRun: the source cannot be read to its end; or the earlier audit did not replay what this one must.
    """
    if since is not None and since.replay is None and not asked.integrity_only:
        raise AuditNotRun(
            "The saved audit was of integrity only, so nothing is known of what its entries mean.",
            remedy="Go on with --integrity, or audit from the start.",
        )
    found.drain(list(source.keys.findings))
    head = check_head(source, found)
    if head is None:
        return None
    exhibits.wrong_lines(head)
    _check_fresh(source, head, found, asked)
    tree = TreeCheck(source, head.checkpoint.size, found, crew=asked.crew)
    lasting = Findings(source.where)
    goes_on = since is not None and _goes_on(since, source, head, tree, found, exhibits)
    log = AuditedLog(source, found, head, LogReplay.of(head.checkpoint.origin))
    if since is not None and goes_on:
        log.since, log.replay = since.point.size, since.replay or log.replay
        if since.seen_s is not None:
            log.replay.times.after_s = since.seen_s
        found.keep(since.findings, since.counts)
        lasting.keep(since.findings, since.counts)
    log.replay.times.before_s = head.first_signed_s
    if head.lonely_s is not None and head.lonely_s < (head.first_signed_s or 0) - TIME_SLACK_S:
        log.notes.append("One witness states an earlier time than all others that signed: its clock is not believed.")
    root = _run(log, tree, lasting, asked, saver)
    if root is not None and root != head.checkpoint.root:
        found.add("log.checkpoint", CHECKPOINT, "The entries lead to another root than the one that is signed.")
    if log.whole:
        check_head_keys(head, log.origin, log.replay.ledger.keys, found)
        if source.keys.descriptor is not None:
            check_descriptor_keys(source.keys.descriptor, head, log.replay.ledger.keys, found)
    exhibits.wrong_files(source, head, tree.wrong, root=root)
    _ask_witnesses(log, asked, exhibits)
    return log


def _run(log: AuditedLog, tree: TreeCheck, lasting: Findings, asked: Asked, saver: Saver | None) -> bytes | None:
    """Return the root that the entries lead to, after they were hashed, and replayed where that is asked for."""
    found, replay = log.found, log.replay
    whole = True

    def saved(point: Point, note: bytes = b"") -> SavedAudit:
        listed, counts = lasting.kept()
        seen_s = log.head.first_signed_s if note else None
        return SavedAudit(log.origin, point, note, seen_s, listed, counts, None if asked.integrity_only else log.replay)

    def passed(point: Point) -> None:
        if saver is not None and saver.is_due:
            saver.save(saved(point))

    with found.lasting(lasting):
        if asked.integrity_only:
            root = tree.run(lambda _: None, asked.progress, passed=passed)
            whole = tree.readable
        else:
            root = tree.run(lambda entries: replay.take(entries, found), asked.progress, settle=settle, passed=passed)
            whole = log.whole = replay.ledger.size == log.head.checkpoint.size
    head = log.head
    if saver is not None and whole and root == head.checkpoint.root:
        saver.save(saved(Point(head.checkpoint.size, head.checkpoint.root), head.note))
    elif saver is not None:
        log.notes.append("The audit was not saved: nobody could go on from a log that does not lead to its head.")
    if not asked.integrity_only:
        replay.finish(found)
    return root


def _goes_on(
    since: SavedAudit, source: Source, head: Head, tree: TreeCheck, found: Findings, exhibits: Exhibits
) -> bool:
    """Return whether the log goes on from an earlier audit; where not, that is a finding, and all of it is read."""
    checkpoint, saw = head.checkpoint, f"{since.point.size} entries"
    if since.origin != checkpoint.origin:
        found.add("P1.continues", CHECKPOINT, "The earlier audit was of another log than this.")
        return False
    if tree.resume(since.point):
        return True
    if checkpoint.size < since.point.size:
        problem = f"The log shows a head of {checkpoint.size} entries; an earlier audit saw {saw}."
    else:
        problem = f"Nothing shows that the log continues what an earlier audit saw of it, {saw}."
    found.add("P1.continues", CHECKPOINT, problem)
    read = reader_of(source.files, checkpoint.size)
    exhibits.two_heads("P1.continues", since.head, head.note, keys=known_keys(source), read=read)
    return False


def _check_fresh(source: Source, head: Head, found: Findings, asked: Asked) -> None:
    """Check the age of the newest cosignature: a witness's where witnesses are known, the log's own otherwise."""
    if asked.max_age_s is None:
        return
    origin = head.checkpoint.origin
    known = (*source.keys.must_sign(origin), *source.keys.allowed)
    witnessed = any(each.key.name != origin and each.key.kind != ED25519 for each in known)
    times = [
        each.timestamp_s for each in head.signed if each.timestamp_s and (each.known.key.name != origin) == witnessed
    ]
    whose = "a witness" if witnessed else "the log itself"
    if not times:
        found.add("P16.stale", CHECKPOINT, f"No cosignature of {whose} tells how old the head is.")
    elif asked.now_s - max(times) > asked.max_age_s:
        age_s = asked.now_s - max(times)
        found.add("P16.stale", CHECKPOINT, f"The newest cosignature of {whose} is {age_s} seconds old.")
    elif max(times) > asked.now_s + TIME_SLACK_S:
        found.add("P16.stale", CHECKPOINT, f"The newest cosignature of {whose} is from a time that has not come.")


def _ask_witnesses(log: AuditedLog, asked: Asked, exhibits: Exhibits) -> None:
    keys = log.source.keys
    if asked.http is None:
        if has_addresses(keys):
            log.notes.append("The witnesses of the policy were not asked what they have seen of the log.")
        return
    seen, notes = ask_witnesses(keys, log.origin, asked.http)
    log.notes += notes
    check_seen(log.source, log.head, log.found, seen, exhibits=exhibits, pause=asked.pause)
