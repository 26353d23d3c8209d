"""A log and its witnesses: what it publishes, what it waits for, and what stops it with the evidence kept."""

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from hosts import Host, Reply, Watch
from signers import LOG, LOG_PQ, NOW_S, ORIGIN, WITNESS, WITNESS_PQ
from trees import Tree

from tallystick.evidence import Refusal, TwoHeads, parse_evidence
from tallystick_ledger.errors import PolicyUnmet
from tallystick_ledger.tlog.head import Checkpoint, parse_checkpoint_body
from tallystick_ledger.tlog.merkle import root_at
from tallystick_ledger.tlog.note import SignatureLine, open_note, sign_line, sign_note, unchecked_text
from tallystick_ledger.tlog.policy import parse_policy
from tallystick_ledger.tlog.witness import parse_add_checkpoint
from tallystick_node.errors import ForkSuspected, SettingsInvalid
from tallystick_node.exchange import ANSWER_SIZE_MAX_BYTES
from tallystick_node.log.cosigning import SILENT_FOR_S, Cosigners, Publication, load_policy
from tallystick_node.log.evidence_room import FILES_MAX, SUBJECT_FILES_MAX, EvidenceRoom

TREE = Tree(20)
KEYS = [LOG.verifier_key, LOG_PQ.verifier_key]


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    yield made
    made.close()


@pytest.fixture
def other_host() -> Iterator[Host]:
    made = Host()
    yield made
    made.close()


def cosigns(signer: object = WITNESS) -> Callable[[bytes], Reply]:
    """An honest witness, which believes every proof."""

    def reply(raw: bytes) -> Reply:
        body = unchecked_text(parse_add_checkpoint(raw).note)
        return 200, sign_line(body, signer, now_s=NOW_S).text  # type: ignore[arg-type]

    return reply


def answers(status: int, body: bytes = b"") -> Callable[[bytes], Reply]:
    return lambda _: (status, body)


def head(size: int, root: bytes | None = None) -> tuple[Checkpoint, bytes]:
    checkpoint = Checkpoint(ORIGIN, size, root_at(size, TREE.read) if root is None else root)
    return checkpoint, sign_note(checkpoint.body(), [LOG, LOG_PQ], now_s=NOW_S)


@contextmanager
def cosigners(
    folder: Path,
    *lines: str,
    waits: bool = True,
    watch: Watch | None = None,
    heed_time: Callable[[str, int], None] = lambda _of, _at_s: None,
) -> Iterator[Cosigners]:
    """The cosigners of a policy with this log and these further lines."""
    logs = [f"log {key.text}" for key in KEYS]
    policy = parse_policy("".join(f"{line}\n" for line in (*logs, *lines)).encode())
    room = EvidenceRoom(folder, now_s=lambda: NOW_S)
    with httpx.Client(trust_env=False) as http:
        made = Cosigners(
            policy,
            origin=ORIGIN,
            http=http,
            waits=waits,
            evidence=room,
            log_keys=lambda: KEYS,
            monotonic_s=watch or time.monotonic,
            heed_time=heed_time,
        )
        yield made
        made.close()


def one(host: Host) -> list[str]:
    return [f"witness w {WITNESS.verifier_key.text} {host.url}", "quorum w"]


def gather(made: Cosigners, size: int) -> bytes:
    return made.gather(*head(size), read=TREE.read)


def test_a_line_that_states_no_time_is_no_time(tmp_path: Path, host: Host) -> None:
    """A key of ML-DSA-44 may sign without one; it does not say that it is 1970."""
    times: list[int] = []

    def part(raw: bytes) -> Reply:
        head = parse_checkpoint_body(unchecked_text(parse_add_checkpoint(raw).note))
        payload = WITNESS_PQ.sign_subtree(origin=ORIGIN, start=0, end=head.size, root=head.root)
        return 200, SignatureLine(WITNESS_PQ.verifier_key.name, WITNESS_PQ.verifier_key.key_id, payload).text

    line = f"witness w {WITNESS_PQ.verifier_key.text} {host.url}"
    with cosigners(tmp_path, line, "quorum none", heed_time=lambda _of, at_s: times.append(at_s)) as made:
        host.reply = part
        gather(made, 7)
        host.reply = cosigns(WITNESS_PQ)
        gather(made, 8)
    assert times == [NOW_S]


def evidence_in(folder: Path) -> list[object]:
    return [parse_evidence(path.read_bytes()) for path in sorted(folder.iterdir())]


def test_a_head_goes_out_with_a_line_of_each_key_that_the_policy_lists_for_a_witness(
    host: Host, tmp_path: Path
) -> None:
    host.reply = lambda raw: (200, cosigns(WITNESS)(raw)[1] + cosigns(WITNESS_PQ)(raw)[1])
    pq = f"witness pq {WITNESS_PQ.verifier_key.text} {host.url}/"
    with cosigners(tmp_path, one(host)[0], pq, "group both all w pq", "quorum both") as made:
        opened = open_note(gather(made, 5), [WITNESS.verifier_key, WITNESS_PQ.verifier_key])
    assert (len(opened.verified), host.asked, made.publication) == (2, 1, Publication.COSIGNED)


def test_a_line_that_the_policy_does_not_ask_for_is_not_published(host: Host, tmp_path: Path) -> None:
    host.reply = lambda raw: (200, cosigns(WITNESS)(raw)[1] + cosigns(WITNESS_PQ)(raw)[1])
    with cosigners(tmp_path, *one(host)) as made:
        assert len(open_note(gather(made, 5), KEYS).lines) == 3


def test_a_witness_is_asked_from_the_size_that_it_says_it_has_seen(host: Host, tmp_path: Path) -> None:
    sizes: list[int] = []

    def reply(raw: bytes) -> Reply:
        sizes.append(parse_add_checkpoint(raw).old_size)
        return (409, b"3\n") if sizes[-1] != 3 and len(sizes) < 3 else cosigns()(raw)

    host.reply = reply
    with cosigners(tmp_path, *one(host)) as made:
        gather(made, 5)
        gather(made, 9)
    assert sizes == [0, 3, 5]


def test_a_head_waits_for_its_quorum_and_the_node_says_so(host: Host, tmp_path: Path) -> None:
    host.reply = answers(503)
    watch = Watch()
    with cosigners(tmp_path, *one(host), watch=watch) as made:
        for _ in range(3):
            with pytest.raises(PolicyUnmet):
                gather(made, 5)
        assert (made.publication, host.asked) == (Publication.WAITING, 1)
        host.reply = cosigns()
        watch.at_s += SILENT_FOR_S
        assert gather(made, 5)
        assert made.publication is Publication.COSIGNED
        gather(made, 5)
        assert host.asked == 2  # its line for this head is in hand


def test_a_head_goes_out_without_its_quorum_where_the_settings_say_so_and_the_node_says_so(
    host: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    host.reply = answers(503)
    with cosigners(tmp_path, *one(host), waits=False) as made, caplog.at_level(logging.WARNING):
        for size in (5, 9):
            assert len(open_note(gather(made, size), KEYS).lines) == 2
        assert made.publication is Publication.WITHOUT_QUORUM
    assert caplog.text.count("PUBLISHED WITHOUT") == 1


def test_no_number_of_partners_stands_in_for_the_independent_witness_that_the_policy_asks_for(
    host: Host, other_host: Host, tmp_path: Path
) -> None:
    """The recipe of docs/witnessing.md: a group of partners, a group of independents, and both."""
    host.reply, other_host.reply = cosigns(), answers(503)
    independent = f"witness i {WITNESS_PQ.verifier_key.text} {other_host.url}"
    groups = ["group partners any w", "group independents any i", "group both all partners independents", "quorum both"]
    watch = Watch()
    with cosigners(tmp_path, one(host)[0], independent, *groups, watch=watch) as made:
        with pytest.raises(PolicyUnmet):
            gather(made, 5)
        other_host.reply = cosigns(WITNESS_PQ)
        watch.at_s += SILENT_FOR_S
        assert gather(made, 5)


@pytest.mark.parametrize(("status", "body"), [(422, b"no"), (409, b"0\n"), (409, b"9\n"), (422, b"\xff" * 10)], ids=str)
def test_a_bare_refusal_stops_publication_until_that_witness_cosigns_again(
    host: Host, tmp_path: Path, status: int, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    host.reply, watch = answers(status, body), Watch()
    quorum_without = [one(host)[0], "quorum none"]
    with cosigners(tmp_path / "e", *quorum_without, waits=False, watch=watch) as made:
        for size in (5, 6, 7):
            with pytest.raises(ForkSuspected, match=f"status {status}"):
                gather(made, size)
            watch.at_s += SILENT_FOR_S
        assert made.publication is Publication.STOPPED
        (kept,) = evidence_in(tmp_path / "e")
        assert isinstance(kept, Refusal)
        assert (kept.status, kept.check(KEYS).accuses) == (status, False)
        assert "nothing is published" in caplog.text
        host.reply = cosigns()
        assert gather(made, 8)
        assert made.publication is Publication.COSIGNED


@pytest.mark.parametrize("size", [3, 5], ids=["an earlier head", "this very head"])
def test_a_witness_that_shows_another_history_convicts_the_log_for_good(host: Host, tmp_path: Path, size: int) -> None:
    host.reply, host.shown = answers(422), head(size, bytes(32))[1]
    with cosigners(tmp_path / "e", *one(host)) as made:
        with pytest.raises(ForkSuspected, match="two histories"):
            gather(made, 5)
        host.reply = cosigns()
        with pytest.raises(ForkSuspected, match="two histories"):
            gather(made, 6)
    (kept,) = evidence_in(tmp_path / "e")
    assert isinstance(kept, TwoHeads)
    assert kept.check(KEYS).sizes == (size, 5)
    # Started again, with no witness up and a policy that waits for none, it still publishes nothing.
    with cosigners(tmp_path / "e", one(host)[0], "quorum none", waits=False) as made:
        assert made.publication is Publication.STOPPED
        with pytest.raises(ForkSuspected, match="two histories"):
            gather(made, 6)
    for path in (tmp_path / "e").iterdir():
        path.unlink()
    with cosigners(tmp_path / "e", *one(host)) as made:
        assert gather(made, 6)


def test_a_head_that_our_key_did_not_sign_convicts_nobody(host: Host, tmp_path: Path) -> None:
    checkpoint, _ = head(3, bytes(32))
    host.reply, host.shown = answers(422), sign_note(checkpoint.body(), [WITNESS], now_s=NOW_S)
    with cosigners(tmp_path / "e", *one(host)) as made, pytest.raises(ForkSuspected, match="status 422"):
        gather(made, 5)
    (kept,) = evidence_in(tmp_path / "e")
    assert isinstance(kept, Refusal)
    assert kept.shown == b""


def test_a_larger_head_of_ours_that_a_witness_has_seen_stops_publication(host: Host, tmp_path: Path) -> None:
    host.reply, host.shown = answers(409, b"9\n"), head(9)[1]
    with cosigners(tmp_path / "e", *one(host)) as made, pytest.raises(ForkSuspected):
        gather(made, 5)
    (kept,) = evidence_in(tmp_path / "e")
    assert isinstance(kept, Refusal)
    assert kept.check(KEYS).sizes == (5, 9)


@pytest.mark.parametrize(
    "reply",
    [
        answers(200, b""),
        answers(200, b"not a line\n"),
        answers(200, bytes(ANSWER_SIZE_MAX_BYTES + 1)),
        lambda raw: (200, cosigns()(raw)[1].replace(b"\n", b"\x0b")),
        lambda raw: (200, cosigns()(raw)[1][:-9] + b"AAAAAAA=\n"),
        answers(200, sign_line(head(6)[0].body(), WITNESS, now_s=NOW_S).text),
        answers(409, b""),
        answers(409, b"03\n"),
        answers(409, b"18446744073709551616\n"),
        answers(403, b"0\n"),
        answers(302, b""),
        answers(500, b""),
    ],
)
def test_an_answer_that_is_none_is_silence_and_no_alarm(
    host: Host, tmp_path: Path, reply: Callable[[bytes], Reply]
) -> None:
    host.reply = reply
    with cosigners(tmp_path / "e", *one(host)) as made, pytest.raises(PolicyUnmet):
        gather(made, 5)
    assert not (tmp_path / "e").exists()


def test_a_slow_witness_holds_up_no_head_that_has_its_quorum(
    host: Host, other_host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallystick_node.log.cosigning.PATIENCE_S", 0.05)
    done = threading.Event()
    host.reply, other_host.reply = cosigns(), lambda raw: ((done.wait(5) and b"") or b"", cosigns(WITNESS_PQ)(raw))[1]
    slow = f"witness slow {WITNESS_PQ.verifier_key.text} {other_host.url}"
    with cosigners(tmp_path, one(host)[0], slow, "group any any w slow", "quorum any") as made:
        for size in (5, 6):
            assert len(open_note(gather(made, size), KEYS).lines) == 3
        assert other_host.asked == 1  # the one that is still being asked is not asked again
        done.set()


def test_no_more_evidence_is_kept_than_a_disk_can_bear(tmp_path: Path) -> None:
    room = EvidenceRoom(tmp_path, now_s=lambda: NOW_S)
    kept = Refusal(tuple(KEYS), head(5)[1], "w", 422, "")
    room.keep(kept)
    room.keep(kept)
    assert room.count == 1
    for number in range(FILES_MAX):
        (tmp_path / f"{number}.json").touch()
    room.keep(Refusal(tuple(KEYS), head(6)[1], "w", 422, ""))
    assert room.count == FILES_MAX + 1


def test_a_witness_that_refuses_again_and_again_crowds_out_only_its_own_refusals(tmp_path: Path) -> None:
    now_s = itertools.count(NOW_S)
    room = EvidenceRoom(tmp_path / "evidence", now_s=lambda: next(now_s))
    room.keep(Refusal(tuple(KEYS), head(20)[1], "another", 422, ""))
    for size in range(1, SUBJECT_FILES_MAX + 4):
        room.keep(Refusal(tuple(KEYS), head(size)[1], "w", 422, ""))
        assert room.count == 1 + min(size, SUBJECT_FILES_MAX)
    kept = [each.head for each in evidence_in(tmp_path / "evidence") if isinstance(each, Refusal)]
    # the first, and the last ones
    sizes = [int(each.split(b"\n")[1]) for each in kept]
    assert sizes == [20, 1, *range(5, SUBJECT_FILES_MAX + 4)]


def test_what_convicts_the_log_is_kept_where_nothing_else_is(tmp_path: Path, host: Host) -> None:
    """Publication stays stopped over a restart, however full the room was before."""
    room = tmp_path / "evidence"
    room.mkdir()
    for number in range(FILES_MAX):
        (room / f"{number}.json").touch()
    host.reply, host.shown = answers(422), head(7, bytes(32))[1]
    with cosigners(room, *one(host)) as made, pytest.raises(ForkSuspected):
        gather(made, 9)
    with cosigners(room, *one(host)) as made:
        assert made.publication is Publication.STOPPED


@pytest.mark.parametrize(("shown", "problem"), [(b"", "status 422"), (head(3, bytes(32))[1], "two histories")])
def test_what_a_witness_refuses_counts_also_where_its_evidence_cannot_be_kept(
    host: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture, shown: bytes, problem: str
) -> None:
    host.reply, host.shown, room = answers(422), shown, tmp_path / "evidence"
    room.write_text("no folder can be made here, as on a disk that is full")
    with cosigners(room, *one(host)) as made:
        with pytest.raises(ForkSuspected, match=problem):
            gather(made, 5)
        assert made.publication is Publication.STOPPED
    assert "NOT KEPT" in caplog.text


def test_evidence_lasts_over_a_power_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file, its name, and the name of the folder that it stands in."""
    flushed: list[str] = []
    real = os.fsync

    def spy(opened: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{opened}").readlink().name)
        real(opened)

    monkeypatch.setattr(os, "fsync", spy)
    room = EvidenceRoom(tmp_path / "evidence", now_s=lambda: NOW_S)
    room.keep(Refusal(tuple(KEYS), head(5)[1], "w", 422, ""))
    assert [tmp_path.name, "evidence"] == [flushed[0], flushed[-1]]
    assert flushed[1].endswith(".new")


def policy_file(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "witness.policy"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["group a any b", "group b any a", "quorum a"], "not defined before"),
        (["group a any a", "quorum a"], "not defined before"),
        (["quorum none"], "does not list this node's log"),
        ([f"log {KEYS[0].text}", f"witness w {WITNESS.verifier_key.text}", "quorum w"], "cannot make the quorum"),
        ([], "exactly one quorum"),
    ],
    ids=["a loop", "a loop of one", "without this log", "a witness without an address", "empty"],
)
def test_a_policy_that_cannot_work_is_refused_at_the_start(tmp_path: Path, lines: list[str], problem: str) -> None:
    with pytest.raises(SettingsInvalid, match=problem):
        load_policy(policy_file(tmp_path, *lines), log_keys=KEYS, waits=True)


def test_a_policy_that_is_not_there_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        load_policy(tmp_path / "none", log_keys=KEYS, waits=True)


def test_a_witness_without_an_address_may_stand_in_a_policy_that_waits_for_none(tmp_path: Path) -> None:
    lines = [f"log {KEYS[0].text}", f"witness w {WITNESS.verifier_key.text}", "quorum w"]
    assert load_policy(policy_file(tmp_path, *lines), log_keys=KEYS, waits=False).witnesses
