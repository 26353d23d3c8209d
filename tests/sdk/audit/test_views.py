"""Did the log show everybody the same? What witnesses and partners saw of it, and when."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from logs import entry_of, log_signers, plain_entries, publish
from signers import NOW_S, STRANGER, WITNESS, WITNESS_PQ, ed25519_key
from streamed import streamed

from tallystick.audit import Asked, AuditNotRun, DirectorySource, Report, audit
from tallystick.evidence import parse_evidence
from tallystick_ledger.tlog.note import NoteSigner, add_lines, open_note, sign_line
from tallystick_ledger.tlog.policy import Policy, parse_policy

ORIGIN, PARTNER = "gym.example/log/2027", "bank.example/log/2027"
ADDRESS = "https://witness.example/w1"
SHOWN = f"{ADDRESS}/{hashlib.sha256(ORIGIN.encode()).hexdigest()}/checkpoint"

Answer = Callable[[httpx.Request], httpx.Response]


def entries_of(size: int, *, fork_at: int = 0) -> list[bytes]:
    entries = plain_entries(size, origin=ORIGIN)
    if fork_at:
        entries[fork_at] = plain_entries(size + 1, origin=ORIGIN)[size]
    return entries


def log_of(folder: Path, size: int, *, fork_at: int = 0) -> Path:
    return publish(folder, entries_of(size, fork_at=fork_at), origin=ORIGIN, witnesses=[WITNESS])


def head_of(folder: Path, size: int, *, fork_at: int = 0) -> bytes:
    """Return a head of the log, with the log's and the witness's lines, as it was shown to others."""
    return (log_of(folder, size, fork_at=fork_at) / "checkpoint").read_bytes()


def policy(url: str = f" {ADDRESS}") -> Policy:
    logs = [f"log {signer.verifier_key.text}" for signer in log_signers(ORIGIN)]
    witness = f"witness w1 {WITNESS.verifier_key.text}{url}"
    return parse_policy("".join(f"{line}\n" for line in (*logs, witness, "quorum w1")).encode())


def audited(log: Path, answer: Answer, trusted: Policy | None = None, waited: list[float] | None = None) -> Report:
    """Audit a log while its witness answers so."""
    waits = [] if waited is None else waited
    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        asked = Asked(http=http, pause=waits.append)
        return audit([DirectorySource(str(log), policy=trusted or policy())], asked=asked)


def shows(note: bytes) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == SHOWN
        return streamed(note)

    return answer


def found(report: Report) -> list[str]:
    return [finding.rule for finding in report.findings]


@pytest.mark.parametrize("size", [1, 7, 300])
def test_a_witness_that_saw_an_earlier_head_or_the_same_agrees(tmp_path: Path, size: int) -> None:
    report = audited(log_of(tmp_path / "log", 300), shows(head_of(tmp_path / "seen", size)))
    assert (found(report), report.sources[0].notes) == ([], ())
    assert "P1.split_view" in report.rules


@pytest.mark.parametrize("size", [8, 299, 300])
def test_a_witness_that_saw_another_history_convicts_the_log(tmp_path: Path, size: int) -> None:
    report = audited(log_of(tmp_path / "log", 300), shows(head_of(tmp_path / "seen", size, fork_at=7)))
    assert found(report) == ["P1.split_view"]
    (exhibit,) = report.exhibits
    assert exhibit.name == "001-P1.split_view.json"
    verdict = parse_evidence(exhibit.raw).check([log_signers(ORIGIN)[0].verifier_key, WITNESS.verifier_key])
    assert (verdict.accuses, verdict.sizes, verdict.cosigners) == (True, (size, 300), (WITNESS.verifier_key,))


def test_a_witness_that_saw_more_than_the_log_shows_is_believed_after_some_looks(tmp_path: Path) -> None:
    waited: list[float] = []
    report = audited(log_of(tmp_path / "log", 300), shows(head_of(tmp_path / "seen", 301)), waited=waited)
    assert (found(report), len(waited)) == (["P1.behind"], 3)


def test_a_log_that_was_about_to_publish_is_not_blamed(tmp_path: Path) -> None:
    """The witness cosigns a head before the log can publish it; here the log does so while the auditor waits."""
    log, seen = log_of(tmp_path / "log", 300), head_of(tmp_path / "seen", 301)

    def publish_meanwhile(_: float) -> None:
        log_of(tmp_path / "log", 301)

    with httpx.Client(transport=httpx.MockTransport(shows(seen))) as http:
        asked = Asked(http=http, pause=publish_meanwhile)
        assert audit([DirectorySource(str(log), policy=policy())], asked=asked).holds


def test_a_log_that_publishes_another_history_than_its_witness_saw_is_found(tmp_path: Path) -> None:
    log, seen = log_of(tmp_path / "log", 300), head_of(tmp_path / "seen", 301, fork_at=7)

    def publish_meanwhile(_: float) -> None:
        log_of(tmp_path / "log", 301)

    with httpx.Client(transport=httpx.MockTransport(shows(seen))) as http:
        asked = Asked(http=http, pause=publish_meanwhile)
        report = audit([DirectorySource(str(log), policy=policy())], asked=asked)
    assert found(report) == ["P1.split_view"]


def unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no route", request=request)


SILENT: dict[str, tuple[Answer, str]] = {
    "it is not there": (unreachable, "cannot be reached"),
    "it never saw the log": (lambda _: httpx.Response(404), "never seen"),
    "it is broken": (lambda _: httpx.Response(500), "status 500"),
    "it sends elsewhere": (lambda _: httpx.Response(302, headers={"location": "https://e.example"}), "status 302"),
    "it never ends": (lambda _: streamed(bytes(512 * 1024 + 1)), "not come to an end"),
    "it answers junk": (lambda _: streamed(b"\xff"), "not signed"),
}


@pytest.mark.parametrize("case", SILENT)
def test_a_witness_that_cannot_say_accuses_nobody_and_is_told_of(tmp_path: Path, case: str) -> None:
    answer, told = SILENT[case]
    report = audited(log_of(tmp_path, 9), answer)
    assert found(report) == []
    (note,) = report.sources[0].notes
    assert note.startswith("Witness w1 ")
    assert told in note


def test_a_head_that_the_log_never_signed_accuses_nobody(tmp_path: Path) -> None:
    note = head_of(tmp_path / "seen", 9, fork_at=7)
    body = open_note(note, [WITNESS.verifier_key]).body
    forged = body + b"\n" + b"".join(sign_line(body, each, now_s=NOW_S).text for each in (STRANGER, WITNESS))
    report = audited(log_of(tmp_path / "log", 9), shows(forged))
    assert (found(report), "not signed" in report.sources[0].notes[0]) == ([], True)


@pytest.mark.parametrize("url", ["", " ftp://witness.example", " witness.example"])
def test_a_witness_without_an_address_is_not_asked(tmp_path: Path, url: str) -> None:
    report = audited(log_of(tmp_path, 9), unreachable, policy(url))
    assert "was not asked" in report.sources[0].notes[0]


def test_nobody_is_asked_where_that_is_wanted_and_the_report_says_so(tmp_path: Path) -> None:
    report = audit([DirectorySource(str(log_of(tmp_path, 9)), policy=policy())])
    assert report.sources[0].notes == ("The witnesses of the policy were not asked what they have seen of the log.",)
    assert "P1.split_view" not in report.rules


# Partners


def own_line(note: bytes) -> bytes:
    """Return a head as a partner's ledger holds it: its text, and the log's own Ed25519 line."""
    (log, _) = log_signers(ORIGIN)
    opened = open_note(note, [log.verifier_key])
    (line,) = (line for line in opened.lines if line.key_id == log.verifier_key.key_id)
    return opened.body + b"\n" + line.text


def partner(folder: Path, note: bytes, *, at_s: int = NOW_S) -> Path:
    """Return a bank's log that holds a head which it saw of the gym's."""
    seen = entry_of("peer_head", {"checkpoint": note.decode()}, name="seen", at_s=at_s)
    return publish(folder, [*plain_entries(1, origin=PARTNER), seen.raw], origin=PARTNER)


def both(log: Path, other: Path) -> list[tuple[str, str]]:
    report = audit([DirectorySource(str(log)), DirectorySource(str(other))], asked=Asked(pause=lambda _: None))
    return [(each.rule, each.where) for each in report.findings]


@pytest.mark.parametrize("size", [1, 299, 300])
def test_a_head_in_a_partners_ledger_lies_on_the_tree(tmp_path: Path, size: int) -> None:
    log = log_of(tmp_path / "log", 300)
    assert both(log, partner(tmp_path / "bank", own_line(head_of(tmp_path / "seen", size)))) == []


def test_a_head_in_a_partners_ledger_that_lies_elsewhere_convicts_the_log(tmp_path: Path) -> None:
    log = log_of(tmp_path / "log", 300)
    other = partner(tmp_path / "bank", own_line(head_of(tmp_path / "seen", 200, fork_at=7)))
    report = audit([DirectorySource(str(log)), DirectorySource(str(other))])
    assert [(each.rule, each.where) for each in report.findings] == [("P1.split_view", f"{log}: checkpoint")]
    assert parse_evidence(report.exhibits[0].raw).check([log_signers(ORIGIN)[0].verifier_key]).accuses


def test_a_log_that_shows_less_than_its_partner_saw_is_found(tmp_path: Path) -> None:
    log = log_of(tmp_path / "log", 299)
    other = partner(tmp_path / "bank", own_line(head_of(tmp_path / "seen", 300)))
    assert both(log, other) == [("P1.behind", f"{log}: checkpoint")]


def test_a_partner_that_made_the_head_up_accuses_itself(tmp_path: Path) -> None:
    log = log_of(tmp_path / "log", 300)
    body = open_note(head_of(tmp_path / "seen", 200, fork_at=7), [WITNESS.verifier_key]).body
    forged = body + b"\n" + sign_line(body, NoteSigner(ORIGIN, ed25519_key("eve")), now_s=NOW_S).text
    other = partner(tmp_path / "bank", forged)
    assert both(log, other) == [("P1.peer_head", f"{other}: entry 1")]


@pytest.mark.parametrize("body", [{}, {"checkpoint": 1}, {"checkpoint": "junk"}, {"checkpoint": "a", "more": 1}])
def test_a_head_that_is_none_is_malformed(tmp_path: Path, body: dict[str, object]) -> None:
    seen = entry_of("peer_head", body, name="seen")
    log = publish(tmp_path, [*plain_entries(1, origin=PARTNER), seen.raw], origin=PARTNER)
    assert [each.rule for each in audit([DirectorySource(str(log))]).findings] == ["entry.malformed"]


def test_an_entry_from_after_it_was_seen_is_found(tmp_path: Path) -> None:
    """The gym's last entry is an hour younger than the bank's memory of the head that covers it."""
    late = entry_of("event", {"commitment": "A" * 43}, name="late", at_s=NOW_S + 3_600)
    entries = [*plain_entries(300, origin=ORIGIN)[:299], late.raw]
    log = publish(tmp_path / "log", entries, origin=ORIGIN)
    note = own_line((log / "checkpoint").read_bytes())
    assert both(log, partner(tmp_path / "in time", note, at_s=NOW_S + 3_300)) == []
    assert both(log, partner(tmp_path / "early", note, at_s=NOW_S + 3_299)) == [("P16.window", f"{log}: entry 299")]


# Evidence of files and lines


def test_a_wrong_tile_and_a_wrong_bundle_leave_evidence_that_accuses_nobody(tmp_path: Path) -> None:
    key = log_signers(ORIGIN)[0].verifier_key
    spoiled = {
        "tile/0/000": bytes(8192),
        "tile/1/000.p/1": bytes(32),
        "tile/entries/000": b"\0\7abc",
        "tile/entries/001.p/44": None,
    }
    for path, raw in spoiled.items():
        log = publish(tmp_path / path, plain_entries(300, origin=ORIGIN), origin=ORIGIN)
        whole = (log / path).read_bytes()
        (log / path).write_bytes(raw or whole.replace(b'"kind":"event"', b'"kind":"evens"', 1))
        (exhibit,) = audit([DirectorySource(str(log))]).exhibits
        verdict = parse_evidence(exhibit.raw).check([key])
        assert not verdict.accuses
        assert path in verdict.problem


def test_what_would_convince_nobody_is_not_kept(tmp_path: Path) -> None:
    """Without the log's keys nobody knows whose head it is that the tile does not belong to."""
    log = log_of(tmp_path, 9)
    (log / "tile/0/000.p/9").write_bytes(bytes(9 * 32))
    assert len(audit([DirectorySource(str(log))]).exhibits) == 1
    for name in ("log.vkey", "log-pq.vkey"):
        (tmp_path / name).unlink()
    report = audit([DirectorySource(str(log))])
    assert ("log.tile" in found(report), report.exhibits) == (True, ())


def test_a_wrong_line_is_kept(tmp_path: Path) -> None:
    log = log_of(tmp_path, 9)
    note = (log / "checkpoint").read_bytes()
    other = open_note(head_of(tmp_path / "other", 8), [WITNESS.verifier_key]).body
    (log / "checkpoint").write_bytes(add_lines(note, [sign_line(other, WITNESS, now_s=NOW_S)]))
    report = audit([DirectorySource(str(log))])
    assert found(report) == ["log.signature", "log.quorum"]  # it is the only witness that is listed
    assert [exhibit.name for exhibit in report.exhibits] == ["001-log.signature.json"]


def test_two_sources_of_one_log_that_fork_leave_the_two_heads(tmp_path: Path) -> None:
    logs = [log_of(tmp_path / "one", 300), log_of(tmp_path / "two", 200, fork_at=7)]
    report = audit([DirectorySource(str(log)) for log in logs])
    assert found(report) == ["P1.fork"]
    assert parse_evidence(report.exhibits[0].raw).check([log_signers(ORIGIN)[0].verifier_key]).accuses


# Freshness


def fresh(log: Path, *, now_s: int, trusted: Policy | None = None) -> list[str]:
    asked = Asked(now_s=now_s, max_age_s=3_600)
    return found(audit([DirectorySource(str(log), policy=trusted)], asked=asked))


def test_a_head_has_an_age(tmp_path: Path) -> None:
    log = log_of(tmp_path, 9)
    assert fresh(log, now_s=NOW_S + 3_600) == fresh(log, now_s=NOW_S - 300) == []
    assert fresh(log, now_s=NOW_S + 3_601) == fresh(log, now_s=NOW_S - 301) == ["P16.stale"]


def test_the_log_cannot_make_itself_look_fresh_where_it_has_witnesses(tmp_path: Path) -> None:
    log = log_of(tmp_path, 9)
    note = (log / "checkpoint").read_bytes()
    body = open_note(note, [WITNESS.verifier_key]).body
    own = sign_line(body, log_signers(ORIGIN)[1], now_s=NOW_S + 9_000)
    (log / "checkpoint").write_bytes(add_lines(note, [own]))
    assert fresh(log, now_s=NOW_S + 9_000) == fresh(log, now_s=NOW_S + 9_000, trusted=policy()) == ["P16.stale"]
    (tmp_path / "witnesses.vkey").unlink()
    (log / "checkpoint").write_bytes(b"".join(add_lines(note, [own]).partition(b"\n\n")[:2]))
    note = b"".join(sign_line(body, each, now_s=NOW_S + 9_000).text for each in log_signers(ORIGIN))
    (log / "checkpoint").write_bytes(body + b"\n" + note)
    assert fresh(log, now_s=NOW_S + 9_000) == []


def test_a_head_that_no_cosignature_dates_is_stale(tmp_path: Path) -> None:
    log = publish(tmp_path, plain_entries(9, origin=ORIGIN), origin=ORIGIN)
    own = log_signers(ORIGIN)[0].verifier_key.text
    trusted = parse_policy(f"log {own}\nwitness w {WITNESS_PQ.verifier_key.text}\nquorum none\n".encode())
    assert "P16.stale" in fresh(log, now_s=NOW_S, trusted=trusted)


def test_asking_witnesses_does_not_hide_that_a_log_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(AuditNotRun):
        audited(tmp_path / "nowhere", unreachable)
