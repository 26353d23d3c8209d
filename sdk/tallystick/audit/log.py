"""Audit one log: its head, its files, and every rule over its entries."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx

from tallystick.audit.exhibits import Exhibits, known_keys
from tallystick.audit.findings import Findings
from tallystick.audit.integrity import (
    ALONE,
    Ahead,
    Crew,
    Head,
    Point,
    Progress,
    Settle,
    Told,
    TreeCheck,
    check_head,
    nobody,
    reader_of,
)
from tallystick.audit.key_history import check_descriptor_keys, check_head_keys
from tallystick.audit.overflow import Overflow
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
        overflow: takes what a replay remembers and memory has no room for; None: each audit has its own.
    """

    progress: Progress = _no_progress
    crew: Crew = ALONE
    integrity_only: bool = False
    now_s: int = 0
    max_age_s: int | None = None
    http: httpx.Client | None = None
    pause: Callable[[float], object] = time.sleep
    overflow: Overflow | None = None


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


@dataclass(frozen=True, slots=True)
class BegunLog:
    """A log whose head was checked, and whose entries were not yet.

    Attributes:
        tree: what is to be read of it.
        lasting: findings that whoever goes on from this audit takes along.
        behind: gives the spans of the log that is audited after this one, as `Ahead` has it.
    """

    log: AuditedLog
    asked: Asked
    exhibits: Exhibits
    tree: TreeCheck
    lasting: Findings
    behind: Callable[[], Ahead | None]

    def ahead(self) -> Ahead:
        """Return the log's spans, of which some may be on their way before it is this log's turn."""
        return self.tree.ahead(_settle_for(self.asked), self.behind)

    def finish(self, *, saver: Saver | None) -> AuditedLog:
        """Return the log after its audit.

        Args:
            saver: keeps how far this one came; None where nobody wants to go on from it.

        Raises:
            AuditNotRun: the source cannot be read to its end.
        """
        log, found, head = self.log, self.log.found, self.log.head
        root = self._run(saver)
        if root is not None and root != head.checkpoint.root:
            found.add("log.checkpoint", CHECKPOINT, "The entries lead to another root than the one that is signed.")
        if log.whole:
            check_head_keys(head, log.origin, log.replay.ledger.keys, found)
            if log.source.keys.descriptor is not None:
                check_descriptor_keys(log.source.keys.descriptor, head, log.replay.ledger.keys, found)
        self.exhibits.wrong_files(log.source, head, self.tree.wrong, root=root)
        _ask_witnesses(log, self.asked, self.exhibits)
        return log

    def _run(self, saver: Saver | None) -> bytes | None:
        """Return the root that the entries lead to, after they were hashed, and replayed where that is asked for."""
        log, asked, tree = self.log, self.asked, self.tree
        found, replay = log.found, log.replay
        whole = True

        def saved(point: Point, note: bytes = b"") -> SavedAudit:
            listed, counts = self.lasting.kept()
            seen_s = log.head.first_signed_s if note else None
            return SavedAudit(
                log.origin, point, note, seen_s, listed, counts, None if asked.integrity_only else log.replay
            )

        def passed(point: Point) -> None:
            if saver is not None and saver.is_due:
                saver.save(saved(point))

        def take(entries: Sequence[Told]) -> None:
            if not asked.integrity_only:
                replay.take(entries, found)
                if asked.overflow is not None:
                    asked.overflow.relieve(replay)

        with found.lasting(self.lasting):
            root = tree.run(take, asked.progress, settle=_settle_for(asked), passed=passed, behind=self.behind)
            if asked.integrity_only:
                whole = tree.readable
            else:
                whole = log.whole = replay.ledger.size == log.head.checkpoint.size
        head = log.head
        if saver is not None and whole and root == head.checkpoint.root:
            saver.save(saved(Point(head.checkpoint.size, head.checkpoint.root), head.note))
        elif saver is not None:
            log.notes.append("The audit was not saved: nobody could go on from a log that does not lead to its head.")
        if not asked.integrity_only:
            replay.finish(found)
            if asked.overflow is not None:
                asked.overflow.settle(replay)
        return root


def begin_log(
    source: Source,
    found: Findings,
    asked: Asked,
    exhibits: Exhibits,
    *,
    since: SavedAudit | None = None,
    behind: Callable[[], Ahead | None] = nobody,
) -> BegunLog | None:
    """Return the log at `source`, whose entries are audited when it is finished; None where no head can be read.

    Args:
        source: the log, opened with the keys to check it under.
        found: is told what does not hold.
        asked: how to audit it.
        exhibits: keeps the evidence.
        since: the earlier audit to go on from, which is used up by this; None to begin at the start.
        behind: gives the spans of the log that is audited after this one, as `Ahead` has it.

    Raises:
        AuditNotRun: the source cannot be read; or the earlier audit did not replay what this one must.
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
    return BegunLog(log, asked, exhibits, tree, lasting, behind)


def _settle_for(asked: Asked) -> Settle | None:
    return None if asked.integrity_only else settle


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
