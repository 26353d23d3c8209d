"""An audit that goes on from an earlier one: what it reads again, what it remembers, and what it does not believe."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from logs import log_signers, plain_entries, publish
from story import tell

from tallystick.audit import (
    Asked,
    AuditNotRun,
    DirectorySource,
    Report,
    SavedAudit,
    Saver,
    audit,
    read_state,
    write_state,
)
from tallystick.audit.integrity import tree
from tallystick.audit.source import DirectoryFiles
from tallystick.evidence import parse_evidence

ORIGIN = "gym.example/log/2027"


class Reading(DirectorySource):
    """A log in a folder that remembers what was read of it, and may go away."""

    portable = False

    def __init__(self, log: Path, *, gone: str = "") -> None:
        super().__init__(str(log))
        self._folder = self.files
        self._gone = gone
        self.asked: list[str] = []
        self.files = self  # type: ignore[assignment]  # what is read goes through here

    def read(self, path: str, *, size_max_bytes: int) -> bytes | None:
        self.asked.append(path)
        if path == self._gone:
            raise AuditNotRun("The log is not there any more.", remedy="Try again.")
        assert isinstance(self._folder, DirectoryFiles)
        return self._folder.read(path, size_max_bytes=size_max_bytes)


def log_of(folder: Path, size: int, *, fork_at: int = 0) -> Path:
    entries = plain_entries(size, origin=ORIGIN)
    if fork_at:
        entries[fork_at] = plain_entries(size + 1, origin=ORIGIN)[size]
    return publish(folder, entries, origin=ORIGIN)


def saved_audit(log: Path, state: Path, *, asked: Asked | None = None, every_s: float = 1e9) -> Report:
    return audit([DirectorySource(str(log))], asked=asked, savers=[Saver(state, every_s=every_s)])


def gone_on(log: Path, state: Path, *, asked: Asked | None = None) -> Report:
    return audit([DirectorySource(str(log))], asked=asked, since=[read_state(state)])


def rules(report: Report) -> list[str]:
    return [finding.rule for finding in report.findings]


@pytest.fixture
def small_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPAN_BUNDLES", "REPLAYED_SPAN_BUNDLES"):
        monkeypatch.setattr(tree, name, 1)


@pytest.mark.parametrize(("old", "new"), [(1, 2), (255, 256), (256, 256), (256, 257), (300, 900), (700, 1_024)])
def test_a_log_that_grew_is_read_from_where_the_last_audit_ended(tmp_path: Path, old: int, new: int) -> None:
    early, late, state = log_of(tmp_path / "early", old), log_of(tmp_path / "late", new), tmp_path / "state"
    assert saved_audit(early, state).holds
    source = Reading(late)
    report = audit([source], since=[read_state(state)])
    assert report.findings == ()
    assert (report.sources[0].since, report.sources[0].entries) == (old, {"opening": 1, "event": new - 1})
    bundles = {path for path in source.asked if path.startswith("tile/entries/")}
    assert len(bundles) == -(-new // 256) - old // 256
    assert "P1.continues" in report.rules


def test_the_rules_remember_what_was_before(tmp_path: Path) -> None:
    """The insurer pays a reward, and after the first audit a second one for the same acceptance."""
    _, insurer = tell()
    early = publish(tmp_path / "early", insurer.raws(), origin=insurer.origin)
    assert saved_audit(early, tmp_path / "state").holds
    insurer.again("reward", transfer="trf_" + "a" * 26)
    late = publish(tmp_path / "late", insurer.raws(), origin=insurer.origin)
    report = gone_on(late, tmp_path / "state")
    assert rules(report) == rules(audit([DirectorySource(str(late))])) == ["P7.paid_twice"]


def test_both_companies_go_on_and_are_held_against_each_other(tmp_path: Path) -> None:
    ledgers = tell()
    early = [publish(tmp_path / "early" / each.host, each.raws(), origin=each.origin) for each in ledgers]
    states = [tmp_path / each.host for each in ledgers]
    assert audit([DirectorySource(str(log)) for log in early], savers=[Saver(state) for state in states]).holds
    ledgers[0].add("fee again", "transfer", {**ledgers[0]["fee"].body, "transfer": "trf_" + "b" * 26})
    late = [publish(tmp_path / "late" / each.host, each.raws(), origin=each.origin) for each in ledgers]
    report = audit([DirectorySource(str(log)) for log in late], since=[read_state(state) for state in states])
    assert rules(report) == ["X.half_missing"]


def test_what_was_found_before_is_found_again_and_once(tmp_path: Path) -> None:
    entries = [*plain_entries(300, origin=ORIGIN)[:299], b"{}"]
    early = publish(tmp_path / "early", entries, origin=ORIGIN)
    assert rules(saved_audit(early, tmp_path / "state")) == ["entry.malformed"]
    late = publish(tmp_path / "late", [*entries, *plain_entries(800, origin=ORIGIN)[300:]], origin=ORIGIN)
    assert rules(gone_on(late, tmp_path / "state")) == ["entry.malformed"]


def test_what_was_found_long_ago_stays_found(tmp_path: Path) -> None:
    entries, state = [*plain_entries(2, origin=ORIGIN), b"{}"], tmp_path / "state"
    saved_audit(publish(tmp_path / "1", entries, origin=ORIGIN), state)
    for number in (2, 3):
        entries.append(plain_entries(number + 2, origin=ORIGIN)[-1])
        log = publish(tmp_path / f"{number}", entries, origin=ORIGIN)
        report = audit([DirectorySource(str(log))], since=[read_state(state)], savers=[Saver(state)])
        assert rules(report) == ["entry.malformed"]


def test_what_is_wrong_with_a_head_is_not_held_against_the_next_one(tmp_path: Path) -> None:
    early = log_of(tmp_path / "early", 5)
    (early / "surprise").touch()
    assert rules(saved_audit(early, tmp_path / "state")) == ["log.unexpected_file"]
    assert gone_on(log_of(tmp_path / "late", 6), tmp_path / "state").holds


def test_more_findings_than_are_listed_are_counted_over_both_audits(tmp_path: Path) -> None:
    entries = [*plain_entries(1, origin=ORIGIN), *[b"{}"] * 150]
    saved_audit(publish(tmp_path / "early", entries, origin=ORIGIN), tmp_path / "state")
    report = gone_on(publish(tmp_path / "late", [*entries, *[b"{}"] * 9], origin=ORIGIN), tmp_path / "state")
    assert (len(report.findings), report.findings[-1].problem) == (101, "59 more are not listed.")


# What the log does not continue


def test_a_log_that_changed_its_past_is_convicted_by_the_two_heads(tmp_path: Path) -> None:
    saved_audit(log_of(tmp_path / "early", 300), tmp_path / "state")
    report = gone_on(log_of(tmp_path / "late", 900, fork_at=7), tmp_path / "state")
    assert rules(report) == ["P1.continues"]
    assert report.sources[0].since == 0
    (exhibit,) = report.exhibits
    verdict = parse_evidence(exhibit.raw).check([log_signers(ORIGIN)[0].verifier_key])
    assert (verdict.accuses, verdict.sizes) == (True, (300, 900))


def test_another_log_of_the_same_size_is_convicted_without_a_proof(tmp_path: Path) -> None:
    saved_audit(log_of(tmp_path / "early", 300), tmp_path / "state")
    report = gone_on(log_of(tmp_path / "late", 300, fork_at=299), tmp_path / "state")
    assert rules(report) == ["P1.continues"]
    assert parse_evidence(report.exhibits[0].raw).check([log_signers(ORIGIN)[1].verifier_key]).accuses


def test_a_log_that_went_back_is_found_and_its_two_heads_contradict_nothing(tmp_path: Path) -> None:
    saved_audit(log_of(tmp_path / "early", 300), tmp_path / "state")
    report = gone_on(log_of(tmp_path / "late", 299), tmp_path / "state")
    assert (rules(report), report.exhibits) == (["P1.continues"], ())


def test_a_state_of_another_log_is_found(tmp_path: Path) -> None:
    other = "bank.example/log/2027"
    saved_audit(publish(tmp_path / "bank", plain_entries(9, origin=other), origin=other), tmp_path / "state")
    report = gone_on(log_of(tmp_path / "gym", 9), tmp_path / "state")
    assert rules(report) == ["P1.continues"]
    assert report.sources[0].entries == {"opening": 1, "event": 8}


def test_states_in_the_wrong_order_accuse_nobody_and_nothing_is_saved(tmp_path: Path) -> None:
    ledgers, states = tell(), [tmp_path / "state of the gym", tmp_path / "state of the insurer"]
    logs = [publish(tmp_path / each.host, each.raws(), origin=each.origin) for each in ledgers]
    sources = [DirectorySource(str(log)) for log in logs]
    assert audit(sources, savers=[Saver(state) for state in states]).holds
    before = [state.read_bytes() for state in states]
    swapped = [read_state(state) for state in reversed(states)]
    with pytest.raises(AuditNotRun, match=f"of {ledgers[1].origin} is given for another log"):
        audit(sources, since=swapped, savers=[Saver(state) for state in states])
    assert [state.read_bytes() for state in states] == before


def test_a_log_with_the_same_entries_under_another_name_is_another_log(tmp_path: Path) -> None:
    integrity = Asked(integrity_only=True)
    bank = publish(tmp_path / "bank", [b"the same"], origin="bank.example/log/2027")
    saved_audit(bank, tmp_path / "state", asked=integrity)
    gym = publish(tmp_path / "gym", [b"the same"], origin=ORIGIN)
    assert rules(gone_on(gym, tmp_path / "state", asked=integrity)) == ["P1.continues"]


def test_an_old_tile_that_is_not_what_it_was_is_found_at_the_edge(tmp_path: Path) -> None:
    """Old full tiles are not read again; those whose hashes stand beside the new ones are."""
    saved_audit(log_of(tmp_path / "early", 600), tmp_path / "state")
    late = log_of(tmp_path / "late", 900)
    (late / "tile/1/000.p/3").write_bytes(bytes(96))
    assert "P1.continues" in rules(gone_on(late, tmp_path / "state"))


# Interrupted


@pytest.mark.usefixtures("small_spans")
def test_an_audit_that_was_interrupted_goes_on_from_where_it_saved(tmp_path: Path) -> None:
    log, state = log_of(tmp_path, 1_500), tmp_path / "state"
    source = Reading(log, gone="tile/entries/004")
    with pytest.raises(AuditNotRun, match="not there any more"):
        audit([source], savers=[Saver(state, every_s=0, clock=lambda: 0.0)])
    saved = read_state(state)
    assert (saved.point.size, saved.head, saved.seen_s) == (1_024, b"", None)
    again = Reading(log)
    report = audit([again], since=[saved], savers=[Saver(state)])
    assert report.findings == ()
    assert {path for path in again.asked if "entries" in path} == {"tile/entries/004", "tile/entries/005.p/220"}
    assert read_state(state).point.size == 1_500
    assert read_state(state).head == (log / "checkpoint").read_bytes()


KILLED = """
import os, signal, sys
from pathlib import Path
from tallystick.audit import Asked, DirectorySource, Saver, audit
from tallystick.audit.integrity import tree

tree.REPLAYED_SPAN_BUNDLES = 1

def progress(done, total):
    if done > 1000:
        os.kill(os.getpid(), signal.SIGKILL)

saver = Saver(Path(sys.argv[2]), every_s=0, clock=lambda: 0.0)
audit([DirectorySource(sys.argv[1])], asked=Asked(progress), savers=[saver])
"""


@pytest.mark.usefixtures("small_spans")
def test_an_audit_that_was_killed_finds_in_the_end_what_one_that_was_not_finds(tmp_path: Path) -> None:
    entries = plain_entries(1_500, origin=ORIGIN)
    entries[40] = entries[1_400] = b"{}"
    log, state = publish(tmp_path, entries, origin=ORIGIN), tmp_path / "state"
    killed = subprocess.run([sys.executable, "-c", KILLED, log, state], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert read_state(state).point.size == 768
    whole, rest = audit([DirectorySource(str(log))]), gone_on(log, state)
    assert rest.findings == whole.findings
    assert rest.sources[0].since == 768


def test_saving_takes_its_share_of_the_time_and_no_more(tmp_path: Path) -> None:
    told_s = iter([0.0, 29.0, 30.0, 30.0, 40.0, 139.0, 140.0])
    saver = Saver(tmp_path / "state", clock=lambda: next(told_s))
    assert [saver.is_due, saver.is_due] == [False, True]
    saver.save(SavedAudit(ORIGIN, tree.Point(0, bytes(32))))  # from 30 to 40 s
    assert [saver.is_due, saver.is_due] == [False, True]


# Integrity alone


def test_an_audit_of_integrity_says_so_and_goes_on_as_one(tmp_path: Path) -> None:
    integrity = Asked(integrity_only=True)
    early = publish(tmp_path / "early", [b"no", b"entries"], origin=ORIGIN)
    report = saved_audit(early, tmp_path / "state", asked=integrity)
    assert (report.holds, report.sources[0].replayed, report.sources[0].entries) == (True, False, {})
    assert not any(rule.startswith(("entry", "P4", "P7", "P8", "P16")) for rule in report.rules)
    late = publish(tmp_path / "late", [b"no", b"entries", b"here"], origin=ORIGIN)
    assert gone_on(late, tmp_path / "state", asked=integrity).holds
    with pytest.raises(AuditNotRun, match="integrity only"):
        gone_on(late, tmp_path / "state")


def test_a_log_that_does_not_lead_to_its_head_is_not_saved(tmp_path: Path) -> None:
    log = log_of(tmp_path, 300)
    (log / "tile/entries/001.p/44").unlink()
    for asked in (None, Asked(integrity_only=True)):
        report = saved_audit(log, tmp_path / "state", asked=asked)
        assert report.sources[0].notes[0].startswith("The audit was not saved")
        assert not (tmp_path / "state").exists()


# Files that are none


@pytest.fixture
def lines(tmp_path: Path) -> list[bytes]:
    _, insurer = tell()
    saved_audit(publish(tmp_path, insurer.raws(), origin=insurer.origin), tmp_path / "state")
    return (tmp_path / "state").read_bytes().splitlines(keepends=True)


def test_what_is_saved_is_read_back_as_it_was(tmp_path: Path, lines: list[bytes]) -> None:
    saved = read_state(tmp_path / "state")
    assert saved.replay is not None
    assert (saved.replay.ledger.size, saved.seen_s) == (saved.point.size, saved.replay.times.before_s)
    write_state(tmp_path / "again", saved)
    assert (tmp_path / "again").read_bytes() == b"".join(lines)
    assert not list(tmp_path.glob("*.new"))


SPOILED: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "empty": lambda _: [],
    "no head": lambda lines: lines[1:],
    "no end": lambda lines: lines[:-1],
    "a line less": lambda lines: lines[:5] + lines[6:],
    "a line more": lambda lines: [*lines, lines[-1]],
    "a line cut": lambda lines: [*lines[:5], lines[5][:-2] + b"\n", *lines[6:]],
    "not UTF-8": lambda lines: [lines[0], b'{"\xff":[]}\n', *lines[1:]],
    "another version": lambda lines: [lines[0].replace(b'"v":2', b'"v":1'), *lines[1:]],
    "no root": lambda lines: [lines[0].replace(b'"root":"', b'"root":"A'), *lines[1:]],
    "junk": lambda _: [os.urandom(100)],
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_file_that_is_not_as_it_was_written_is_refused(tmp_path: Path, lines: list[bytes], case: str) -> None:
    (tmp_path / "state").write_bytes(b"".join(SPOILED[case](lines)))
    with pytest.raises(AuditNotRun, match="cannot be used"):
        read_state(tmp_path / "state")


def signed_again(lines: list[bytes]) -> bytes:
    body = b"".join(lines[:-1])
    return body + b'{"end":{"sha256":"%s"}}\n' % hashlib.sha256(body).hexdigest().encode()


WRONG: dict[str, tuple[bytes, bytes]] = {
    "a member that no replay has": (b'{"ledger.size"', b'{"ledger.sizes"'),
    "text for a number": (b'{"ledger.size":[8]}', b'{"ledger.size":["8"]}'),
    "another size than its head's": (b'{"ledger.size":[8]}', b'{"ledger.size":[7]}'),
    "another log than its head's": (b'{"origin":["insurer', b'{"origin":["bank'),
    "an account without a balance": (b'"USD/2"],[', b'"USD/2"],["",'),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_says_what_no_replay_can_is_refused(tmp_path: Path, lines: list[bytes], case: str) -> None:
    """Its digest is right, so that only the check of what it says can refuse it."""
    old, new = WRONG[case]
    assert sum(old in line for line in lines) >= 1
    (tmp_path / "state").write_bytes(signed_again([line.replace(old, new) for line in lines]))
    with pytest.raises(AuditNotRun, match="cannot be used"):
        read_state(tmp_path / "state")


def test_a_file_that_is_not_there_or_cannot_be_written_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(AuditNotRun, match="cannot be read"):
        read_state(tmp_path / "nowhere")
    with pytest.raises(AuditNotRun, match="cannot be saved"):
        saved_audit(log_of(tmp_path, 2), tmp_path / "nowhere" / "state")


def test_one_state_for_two_logs_is_refused(tmp_path: Path) -> None:
    log = log_of(tmp_path, 2)
    with pytest.raises(AuditNotRun, match="not one saved audit"):
        audit([DirectorySource(str(log))] * 2, savers=[Saver(tmp_path / "state")])
