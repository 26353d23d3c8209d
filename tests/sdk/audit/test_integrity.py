"""What an audit says of a log's files, signatures and keys."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from logs import log_signers, plain_entries, publish
from signers import NOW_S, STRANGER, WITNESS, WITNESS_PQ

from tallystick.audit import AuditNotRun, DirectorySource, Report, audit
from tallystick_ledger.tlog.checkpoint import Checkpoint
from tallystick_ledger.tlog.note import add_lines, sign_line, sign_note
from tallystick_ledger.tlog.policy import Policy, parse_policy
from tallystick_ledger.tlog.tiles import decode_bundle, encode_bundle

ORIGIN = "gym.example/log/2027"


def audited(log: Path, policy: Policy | None = None) -> Report:
    return audit([DirectorySource(str(log), policy=policy)])


def found(log: Path, policy: Policy | None = None) -> list[tuple[str, str]]:
    """Return each finding's rule, and its place in the log."""
    return [(each.rule, each.where.removeprefix(f"{log}: ")) for each in audited(log, policy).findings]


def log_of(tmp_path: Path, size: int, *, sizes: tuple[int, ...] = (), witnessed: bool = False) -> Path:
    witnesses = (WITNESS, WITNESS_PQ) if witnessed else ()
    return publish(tmp_path, plain_entries(size, origin=ORIGIN), origin=ORIGIN, sizes=sizes, witnesses=witnesses)


def sign_again(log: Path, size: int, root: bytes) -> None:
    (log / "checkpoint").write_bytes(sign_note(Checkpoint(ORIGIN, size, root).body(), log_signers(ORIGIN), now_s=NOW_S))


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 700])
def test_a_log_of_any_size_holds(tmp_path: Path, size: int) -> None:
    log = log_of(tmp_path, size, sizes=tuple(each for each in (1, 7, 255, 300, 513) if each < size))
    report = audited(log)
    assert report.findings == ()
    assert report.sources[0].size == size


def test_a_log_with_three_levels_holds_and_a_wrong_hash_in_each_is_found(tmp_path: Path) -> None:
    log = log_of(tmp_path, 65_540, sizes=(65_535,))
    assert found(log) == []
    paths = ("tile/0/128", "tile/1/000", "tile/1/000.p/255", "tile/0/256.p/4", "tile/2/000.p/1")
    for path in paths:
        whole = (log / path).read_bytes()
        (log / path).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert found(log) == [("log.tile", path) for path in paths]


def test_an_empty_log_holds(tmp_path: Path) -> None:
    log = publish(tmp_path, [], origin=ORIGIN)
    sign_again(log, 0, hashlib.sha256(b"").digest())
    assert audited(log).holds
    sign_again(log, 0, bytes(32))
    assert found(log) == [("log.checkpoint", "checkpoint")]


def test_the_report_says_who_signed_and_who_says_so(tmp_path: Path) -> None:
    source = audited(log_of(tmp_path, 9, witnessed=True)).sources[0]
    assert (source.origin, source.size, source.entries) == (ORIGIN, 9, {"opening": 1, "event": 8})
    assert [(key.source, key.signed) for key in source.keys] == [
        ("../log.vkey", True),
        ("../log-pq.vkey", True),
        ("../witnesses.vkey", True),
        ("../witnesses.vkey", True),
    ]
    assert [key.signed_at for key in source.keys] == [None, NOW_S, NOW_S, NOW_S]


def drop(path: str) -> Callable[[Path], None]:
    return lambda log: (log / path).unlink()


def put(path: str, raw: bytes = b"") -> Callable[[Path], None]:
    def change(log: Path) -> None:
        (log / path).parent.mkdir(parents=True, exist_ok=True)
        (log / path).write_bytes(raw)

    return change


FILE_CASES: dict[str, tuple[Callable[[Path], None], list[tuple[str, str]]]] = {
    "no checkpoint": (drop("checkpoint"), [("log.missing_file", "checkpoint")]),
    "no full tile": (drop("tile/0/000"), [("log.missing_file", "tile/0/000")]),
    "no edge tile": (drop("tile/0/001.p/44"), [("log.missing_file", "tile/0/001.p/44")]),
    "no upper tile": (drop("tile/1/000.p/1"), [("log.missing_file", "tile/1/000.p/1")]),
    "no bundle": (drop("tile/entries/001.p/44"), [("log.missing_file", "tile/entries/001.p/44")]),
    "no partial tile of an earlier size": (drop("tile/0/000.p/3"), []),
    "a hidden file": (put(".DS_Store"), [("log.unexpected_file", ".DS_Store")]),
    "a file left from writing": (put("tile/0/000.tmp"), [("log.unexpected_file", "tile/0/000.tmp")]),
    "a second checkpoint": (put("checkpoint.1"), [("log.unexpected_file", "checkpoint.1")]),
    "a tile beyond the size": (put("tile/0/002.p/1", bytes(32)), [("log.unexpected_file", "tile/0/002.p/1")]),
    "a full tile too early": (put("tile/0/001", bytes(8192)), [("log.unexpected_file", "tile/0/001")]),
    "a level too many": (put("tile/2/000.p/1", bytes(32)), [("log.unexpected_file", "tile/2/000.p/1")]),
    "another spelling": (put("tile/00/000", bytes(8192)), [("log.unexpected_file", "tile/00/000")]),
    "a forged tile of an earlier size": (put("tile/0/000.p/9", bytes(288)), [("log.tile", "tile/0/000.p/9")]),
    "an earlier tile cut short": (put("tile/0/000.p/9", bytes(31)), [("log.tile", "tile/0/000.p/9")]),
    "an earlier bundle that differs": (
        put("tile/entries/000.p/2", b"\0\0\0\0"),
        [("log.bundle", "tile/entries/000.p/2")],
    ),
    "a tile cut short": (put("tile/0/001.p/44", bytes(31)), [("log.tile", "tile/0/001.p/44")]),
    "a bundle that ends early": (put("tile/entries/001.p/44", b"\0\7abc"), [("log.bundle", "tile/entries/001.p/44")]),
}


@pytest.mark.parametrize("case", FILE_CASES)
def test_one_wrong_file_is_one_finding(tmp_path: Path, case: str) -> None:
    change, expected = FILE_CASES[case]
    log = log_of(tmp_path, 300, sizes=(3, 256))
    change(log)
    assert found(log) == expected


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    log = log_of(tmp_path, 5)
    aside = tmp_path / "aside"
    (log / "tile/0/000.p/5").rename(aside)
    (log / "tile/0/000.p/5").symlink_to(aside)
    assert found(log) == [("log.unexpected_file", "tile/0/000.p/5"), ("log.missing_file", "tile/0/000.p/5")]


def test_a_folder_that_links_to_itself_ends(tmp_path: Path) -> None:
    log = log_of(tmp_path, 5)
    (log / "tile" / "tile").symlink_to(log)
    assert found(log) == [("log.unexpected_file", "tile/tile")]


def test_an_empty_folder_is_nothing(tmp_path: Path) -> None:
    log = log_of(tmp_path, 5)
    (log / "tile" / "7").mkdir()
    assert found(log) == []


def test_a_pipe_does_not_stop_the_audit(tmp_path: Path) -> None:
    log = log_of(tmp_path, 5)
    os.mkfifo(log / "pipe")
    assert found(log) == [("log.unexpected_file", "pipe")]


def test_a_file_name_cannot_steer_the_terminal(tmp_path: Path) -> None:
    log = log_of(tmp_path, 5)
    (log / "\x1b[2J[bold]\udcff").write_bytes(b"")
    (finding,) = audited(log).findings
    assert finding.where.endswith(r": \x1b[2J[bold]\udcff")


def test_an_entry_in_another_place_is_found(tmp_path: Path) -> None:
    log = log_of(tmp_path, 5)
    path = log / "tile/entries/000.p/5"
    entries = decode_bundle(path.read_bytes(), count=5)
    path.write_bytes(encode_bundle([*entries[:3], entries[4], entries[3]]))
    assert found(log) == [("log.tile", "tile/0/000.p/5"), ("log.checkpoint", "checkpoint")]


def test_a_tree_made_anew_without_the_log_is_found(tmp_path: Path) -> None:
    """Tiles and entries agree with each other, and not with what was signed."""
    log = log_of(tmp_path / "one", 5)
    other = publish(tmp_path / "other", [*plain_entries(4, origin=ORIGIN), b"{}"], origin=ORIGIN)
    (other / "checkpoint").write_bytes((log / "checkpoint").read_bytes())
    assert found(other) == [("entry.malformed", "entry 4"), ("log.checkpoint", "checkpoint")]


def test_a_head_that_claims_more_than_there_is_ends(tmp_path: Path) -> None:
    log = log_of(tmp_path, 5)
    sign_again(log, 2**63 - 1, bytes(32))
    rules = {rule for rule, _ in found(log)}
    assert rules == {"log.missing_file", "log.tile"}


def test_the_entries_after_an_unreadable_bundle_are_not_replayed(tmp_path: Path) -> None:
    log = log_of(tmp_path, 600)
    (log / "tile/entries/001").unlink()
    report = audited(log)
    assert report.sources[0].notes == ("Only 256 of 600 entries were replayed.",)
    assert report.sources[0].entries == {"opening": 1, "event": 255}


def test_a_log_that_is_wrong_all_over_is_said_to_be_so_once(tmp_path: Path) -> None:
    log = log_of(tmp_path, 5)
    for number in range(1_000):
        (log / f"{number}").touch()
    findings = audited(log).findings
    assert len(findings) == 101
    assert findings[-1].problem == "900 more are not listed."


# Signatures and keys


def test_a_log_key_that_did_not_sign_is_found(tmp_path: Path) -> None:
    log = log_of(tmp_path, 5)
    note = (log / "checkpoint").read_bytes()
    (log / "checkpoint").write_bytes(b"\n".join(note.split(b"\n")[:-2]) + b"\n")
    (finding,) = audited(log).findings
    assert (finding.rule, "log-pq.vkey" in finding.problem) == ("log.signature", True)


def test_a_wrong_signature_is_found(tmp_path: Path) -> None:
    log = log_of(tmp_path, 5)
    body = Checkpoint(ORIGIN, 5, bytes(32)).body()
    wrong = [sign_line(body, signer, now_s=NOW_S) for signer in log_signers(ORIGIN)]
    (log / "checkpoint").write_bytes(add_lines((log / "checkpoint").read_bytes(), wrong))
    assert [rule for rule, _ in found(log)] == ["log.signature", "log.signature"]


def test_a_line_that_stands_twice_is_found(tmp_path: Path) -> None:
    log = log_of(tmp_path, 5)
    note = (log / "checkpoint").read_bytes()
    (log / "checkpoint").write_bytes(note + note.split(b"\n")[-2] + b"\n")
    assert found(log) == [("log.signature", "checkpoint")]


def test_a_line_of_a_stranger_is_found(tmp_path: Path) -> None:
    log = log_of(tmp_path, 5)
    note = (log / "checkpoint").read_bytes()
    body = note.rpartition(b"\n\n")[0] + b"\n"
    (log / "checkpoint").write_bytes(add_lines(note, [sign_line(body, STRANGER, now_s=NOW_S)]))
    assert found(log) == [("log.unlisted_line", "checkpoint")]


def test_one_of_the_witnesses_that_are_listed_must_have_signed(tmp_path: Path) -> None:
    listed = "".join(f"{each.verifier_key.text}\n" for each in (WITNESS, WITNESS_PQ))
    log = log_of(tmp_path / "by none", 5)
    (tmp_path / "by none" / "witnesses.vkey").write_text(listed)
    assert found(log) == [("log.quorum", "checkpoint")]
    entries = plain_entries(5, origin=ORIGIN)
    log = publish(tmp_path / "by one", entries, origin=ORIGIN, witnesses=[WITNESS])
    (tmp_path / "by one" / "witnesses.vkey").write_text(listed)
    assert found(log) == []


def test_a_checkpoint_of_another_log_is_found(tmp_path: Path) -> None:
    log = log_of(tmp_path, 5)
    other = publish(
        tmp_path / "other", plain_entries(5, origin="bank.example/log/2027"), origin="bank.example/log/2027"
    )
    (log / "checkpoint").write_bytes((other / "checkpoint").read_bytes())
    assert ("log.checkpoint", "checkpoint") in found(log)


@pytest.mark.parametrize("name", ["log.vkey", "log-pq.vkey", "witnesses.vkey"])
@pytest.mark.parametrize("text", ["", "junk\n", "\xff\n", f"{STRANGER.verifier_key.text}x\n"])
def test_a_key_file_that_cannot_be_read_is_found(tmp_path: Path, name: str, text: str) -> None:
    log = log_of(tmp_path, 5, witnessed=True)
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    assert ("log.keys", f"../{name}") in found(log)


def test_a_key_file_that_leads_nowhere_says_a_key_twice_or_never_ends_is_found(tmp_path: Path) -> None:
    log = log_of(tmp_path, 5)
    path = tmp_path / "log-pq.vkey"
    text = path.read_text()
    for spoiled in (text * 2, text + "\n" * (512 * 1024)):
        path.write_text(spoiled)
        assert ("log.keys", "../log-pq.vkey") in found(log)
    path.write_text(text + "\n" * (512 * 1024 - len(text)))
    assert found(log) == []
    path.unlink()
    path.symlink_to("nowhere")
    assert ("log.keys", "../log-pq.vkey") in found(log)


def test_a_key_in_the_wrong_file_is_found(tmp_path: Path) -> None:
    """An ML-DSA-44 key in `log.vkey` would let a head pass that has no Ed25519 signature."""
    log = log_of(tmp_path, 5)
    (tmp_path / "log.vkey").write_bytes((tmp_path / "log-pq.vkey").read_bytes())
    assert ("log.keys", "../log.vkey") in found(log)


def test_without_keys_the_log_is_read_and_does_not_hold(tmp_path: Path) -> None:
    log = log_of(tmp_path, 5)
    (tmp_path / "log.vkey").unlink()
    (tmp_path / "log-pq.vkey").unlink()
    report = audited(log)
    assert {finding.rule for finding in report.findings} == {"log.signature", "log.unlisted_line"}
    assert report.sources[0].entries == {"opening": 1, "event": 4}


@pytest.mark.parametrize("make", [lambda _: None, lambda path: path.mkdir(), lambda path: path.touch()])
def test_what_is_no_log_cannot_be_audited(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "log")
    with pytest.raises(AuditNotRun):
        audited(tmp_path / "log")


# Policies


def policy_of(*lines: str) -> Policy:
    logs = [f"log {signer.verifier_key.text}" for signer in log_signers(ORIGIN)]
    return parse_policy("".join(f"{line}\n" for line in (*logs, *lines)).encode())


WITNESS_LINES = (f"witness one {WITNESS.verifier_key.text}", f"witness two {WITNESS_PQ.verifier_key.text}")


def test_a_policy_takes_the_place_of_the_files(tmp_path: Path) -> None:
    log = log_of(tmp_path, 5, witnessed=True)
    (tmp_path / "log.vkey").write_text("junk")
    policy = policy_of(*WITNESS_LINES, "group both all one two", "quorum both")
    assert found(log, policy) == []


def test_a_quorum_that_is_not_met_is_found(tmp_path: Path) -> None:
    log = log_of(tmp_path, 5)
    assert found(log, policy_of(*WITNESS_LINES, "group any any one two", "quorum any")) == [
        ("log.quorum", "checkpoint")
    ]
    assert found(log, policy_of(*WITNESS_LINES, "quorum none")) == []


def test_a_policy_may_list_other_logs_too(tmp_path: Path) -> None:
    log = log_of(tmp_path, 5)
    assert found(log, policy_of(f"log {STRANGER.verifier_key.text}", "quorum none")) == []


def test_a_policy_that_does_not_list_the_log_is_found(tmp_path: Path) -> None:
    log = log_of(tmp_path, 5)
    policy = parse_policy(f"log {STRANGER.verifier_key.text}\nquorum none\n".encode())
    assert {rule for rule, _ in found(log, policy)} == {"log.checkpoint", "log.signature", "log.unlisted_line"}
