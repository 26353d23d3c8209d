"""A witness over HTTP, a node's own and one that stands alone: the same statuses, and never a fork (P12)."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event

import httpx
import pytest
from town import Company, Town, agree, town
from typer.testing import CliRunner
from witnesses import AloneStand, NodeStand, Stand, ask, grown, head_of, keys_in, log_key, shown

from tallystick.descriptor import DescriptorOlder, Role, open_descriptor, sign_descriptor
from tallystick.tls import tls_context
from tallystick_ledger.encoding import to_base64
from tallystick_ledger.tlog.head import Checkpoint, parse_checkpoint_body
from tallystick_ledger.tlog.keys import SignatureKind
from tallystick_ledger.tlog.merkle import EMPTY_ROOT, Frontier, prove_consistency, range_hash
from tallystick_ledger.tlog.note import NoteSigner, open_note, parse_lines, sign_note
from tallystick_ledger.tlog.subtree import prove_subtree_consistency
from tallystick_ledger.tlog.witness import AddCheckpoint, SignSubtree
from tallystick_node.cli import app
from tallystick_node.clock import SetClock
from tallystick_node.config import load_settings
from tallystick_node.errors import SettingsInvalid
from tallystick_node.keys.changes import rotate_key
from tallystick_node.setup import open_key_folder
from tallystick_node.witness.alone import Witness, create_witness

WITNESS_ROLES: tuple[Role, ...] = ("witness", "witness-pq")


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A gym whose log has grown past a few heads, and an insurer that may witness it."""
    with town(Path(tmp_path_factory.mktemp("town"))) as made:
        gym, insurer = made.company("gym.example"), made.company("insurer.example")
        insurer.stop()  # it is to know of the gym's log what it cosigned, and nothing that it saw by following
        alone = load_settings(insurer.folder).model_copy(update={"follow_interval_s": 0})
        (insurer.folder / "node.toml").write_text(alone.text())
        insurer.start()
        agree(made, insurer, gym)
        yield made


@pytest.fixture(scope="module")
def gym(story: Town) -> Company:
    return story.companies["gym.example"]


@pytest.fixture(scope="module", params=["node", "alone"])
def witness(
    request: pytest.FixtureRequest, story: Town, gym: Company, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stand]:
    """Each of the two kinds of witness in turn; it has seen nothing yet."""
    if request.param == "node":
        yield NodeStand(story.companies["insurer.example"])
        return
    stand = AloneStand(tmp_path_factory.mktemp("witness") / "w", clock=story.clock)
    stand.start()
    stand.know(gym)
    yield stand
    stand.stop()


@pytest.fixture
def at_three(witness: Stand, gym: Company) -> Stand:
    """The witness, which cosigned the gym's log at 3 entries, or is past it."""
    size = 0 if (last := shown(witness, gym)).status_code == 404 else int(last.text.split("\n")[1])
    if size < 3:
        assert ask(witness, grown(gym, size, 3)).status_code == 200
    return witness


def test_of_a_log_that_was_never_cosigned_nothing_is_shown(witness: Stand, gym: Company) -> None:
    assert shown(witness, gym).status_code == 404
    assert httpx.get(f"{witness.prefix}/{'0' * 64}/checkpoint").status_code == 404


def test_a_log_is_witnessed_from_its_first_head_on_with_a_key_of_either_kind(
    witness: Stand, gym: Company, story: Town
) -> None:
    first = ask(witness, grown(gym, 0, 1))
    assert (first.status_code, first.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    keys = keys_in(witness.policy_lines)
    assert [key.kind for key in keys] == [SignatureKind.COSIGNATURE_ED25519, SignatureKind.COSIGNATURE_ML_DSA_44]
    body = open_note(head_of(gym, 1), [log_key(gym)]).body
    for key, line in zip(keys, parse_lines(first.content), strict=True):
        assert key.check(body, line.payload) == story.clock.at_s
    assert ask(witness, grown(gym, 1, 3)).status_code == 200
    assert ask(witness, grown(gym, 3, 3)).status_code == 200


def test_what_it_shows_carries_the_log_s_line_and_its_own_and_no_other(at_three: Stand, gym: Company) -> None:
    stranger = NoteSigner("stranger.example", gym.keys.ed25519("claim"))
    junk = sign_note(open_note(head_of(gym, 3), [log_key(gym)]).body, [stranger] * 90, now_s=0).partition(b"\n\n")[2]
    assert ask(at_three, AddCheckpoint(3, (), head_of(gym, 3) + junk)).status_code == 200
    opened = open_note(shown(at_three, gym).content, [log_key(gym), *keys_in(at_three.policy_lines)])
    assert (len(opened.verified), opened.unknown) == (3, ())


def refused(witness: Stand, asked: AddCheckpoint | bytes) -> int:
    """Return the status of a refusal; whatever it is, the witness has not moved."""
    raw = asked if isinstance(asked, bytes) else asked.encode()
    return httpx.post(f"{witness.prefix}/add-checkpoint", content=raw, verify=tls_context()).status_code


def test_each_refusal_has_the_status_that_the_specification_gives_it(at_three: Stand, gym: Company) -> None:
    origin, before = gym.node.settings.log_origin, shown(at_three, gym).content
    stranger = NoteSigner("nobody.example/log/2027", gym.keys.ed25519("log"))
    forger = NoteSigner(origin, gym.keys.ed25519("claim"))
    unknown = sign_note(Checkpoint("nobody.example/log/2027", 3, bytes(32)).body(), [stranger], now_s=0)
    good = head_of(gym, 4)
    hash_line = to_base64(bytes(32)).encode() + b"\n"
    assert refused(at_three, AddCheckpoint(0, (), unknown)) == 404
    assert refused(at_three, AddCheckpoint(3, (), head_of(gym, 3, signer=forger))) == 403
    assert refused(at_three, AddCheckpoint(3, (), good[:-10] + b"AAAAAAAA=\n")) in (400, 403)
    assert refused(at_three, b"old x\n\n") == 400
    assert refused(at_three, b"old 3\n" + hash_line * 64 + b"\n" + good) == 400  # 64 proof lines
    assert refused(at_three, b"old 18446744073709551616\n\n" + good) == 400  # 2^64
    assert refused(at_three, AddCheckpoint(3, (), good.replace(b"\n4\n", b"\n18446744073709551616\n"))) == 400
    assert refused(at_three, AddCheckpoint(3, (), good.replace(b"\n4\n", b"\n4\x0b"))) == 400  # 0x0B for a newline
    assert refused(at_three, b"old 3\n" + hash_line.replace(b"=", b"") + b"\n" + good) == 400  # not canonical
    assert refused(at_three, good + b" " * 10_000_000) == 413  # a head of 10 MB
    assert refused(at_three, AddCheckpoint(4, (), head_of(gym, 3))) == 400
    assert refused(at_three, AddCheckpoint(3, (), head_of(gym, 3, root=bytes(32)))) == 422  # equal, another root
    assert refused(at_three, AddCheckpoint(3, (bytes(32),), good)) == 422
    assert refused(at_three, AddCheckpoint(3, (), good)) == 422  # a proof of nothing
    assert shown(at_three, gym).content == before
    conflict = ask(at_three, AddCheckpoint(2, (), good))
    assert (conflict.status_code, conflict.content) == (409, b"3\n")
    assert conflict.headers["content-type"].startswith("text/x.tlog.size")


def test_what_no_log_has_signed_does_not_reach_the_one_writer_of_a_node(story: Town, gym: Company) -> None:
    """Anybody may ask, so what they ask is read and checked beside whatever the node writes meanwhile."""
    insurer = story.companies["insurer.example"]
    forger = NoteSigner(gym.node.settings.log_origin, gym.keys.ed25519("claim"))
    over = Event()
    writing = insurer.node.writer.submit(lambda _: over.wait(10))
    try:
        assert refused(NodeStand(insurer), AddCheckpoint(3, (), head_of(gym, 3, signer=forger))) == 403
        assert not writing.done()
    finally:
        over.set()
        writing.result()


def test_an_empty_log_has_the_root_of_an_empty_log(witness: Stand, gym: Company) -> None:
    origin = gym.node.settings.log_origin.replace("2027", "2026")
    own = NoteSigner(origin, gym.keys.ed25519("log"))
    empty, lie = (sign_note(Checkpoint(origin, 0, root).body(), [own], now_s=0) for root in (EMPTY_ROOT, bytes(32)))
    assert refused(witness, AddCheckpoint(0, (bytes(32),), empty)) == 422
    assert refused(witness, AddCheckpoint(0, (), lie)) == 422
    assert ask(witness, AddCheckpoint(0, (), empty)).status_code == 200


def test_a_company_has_no_more_logs_than_it_can_have_begun(witness: Stand, gym: Company) -> None:
    """What is cosigned of a log is remembered for good: who has the gym's key opens no million of them."""
    for name, status in (("2000", 200), ("2036-99", 200), ("2027-100", 404), ("1999", 404), ("2037", 404)):
        origin = gym.node.settings.log_origin.replace("2027", name)
        own = NoteSigner(origin, gym.keys.ed25519("log"))
        empty = sign_note(Checkpoint(origin, 0, EMPTY_ROOT).body(), [own], now_s=0)
        assert refused(witness, AddCheckpoint(0, (), empty)) == status, name


def test_a_request_that_does_not_arrive_in_time_is_refused(witness: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tallystick_node.routes.witness.BODY_TIMEOUT_S", 0.1)
    url = httpx.URL(f"{witness.prefix}/add-checkpoint")
    with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
        head = f"POST {url.path} HTTP/1.1\r\nHost: witness\r\nContent-Length: 900\r\n\r\nold 3\n"
        connection.sendall(head.encode())
        assert connection.recv(12) == b"HTTP/1.1 400"


def test_of_two_feeders_that_race_with_two_branches_one_wins(at_three: Stand, gym: Company) -> None:
    honest = grown(gym, 3, 4)
    forked = AddCheckpoint(3, honest.proof, head_of(gym, 4, root=hashlib.sha256(b"fork").digest()))
    answers: list[int] = []
    feeders = [
        threading.Thread(target=lambda each=each: answers.append(ask(at_three, each).status_code))
        for each in (honest, forked) * 4
    ]
    for feeder in feeders:
        feeder.start()
    for feeder in feeders:
        feeder.join()
    assert answers.count(200) >= 1
    assert set(answers) <= {200, 409, 422}
    kept = shown(at_three, gym).content
    assert open_note(kept, [log_key(gym)]).body == open_note(honest.note, [log_key(gym)]).body


def test_of_two_first_heads_that_race_one_is_cosigned(witness: Stand, gym: Company) -> None:
    """From `old 0` a fork needs no proof, so only the order of the two keeps the second one out."""
    origin = gym.node.settings.log_origin.replace("2027", "2025")
    own = NoteSigner(origin, gym.keys.ed25519("log"))
    heads = [sign_note(Checkpoint(origin, 1, bytes([n] * 32)).body(), [own], now_s=0) for n in range(8)]
    answers: list[int] = []
    feeders = [
        threading.Thread(target=lambda each=each: answers.append(ask(witness, AddCheckpoint(0, (), each)).status_code))
        for each in heads
    ]
    for feeder in feeders:
        feeder.start()
    for feeder in feeders:
        feeder.join()
    assert sorted(answers) == [200] + [409] * 7


def test_what_was_cosigned_is_remembered_over_a_restart(at_three: Stand, gym: Company) -> None:
    before = shown(at_three, gym).content
    at_three.stop()
    at_three.start()
    assert shown(at_three, gym).content == before
    assert ask(at_three, grown(gym, 0, 3)).status_code == 409


def test_a_part_of_a_tree_is_signed_where_the_whole_was_cosigned(at_three: Stand, gym: Company) -> None:
    size = parse_checkpoint_body(open_note(shown(at_three, gym).content, [log_key(gym)]).body).size
    reader = gym.node.publisher.reader(gym.node.publisher.published_size)
    part = range_hash(2, size, reader)
    proof = tuple(prove_subtree_consistency(2, size, size=size, read=reader))

    def sign(request: SignSubtree) -> httpx.Response:
        return httpx.post(f"{at_three.prefix}/sign-subtree", content=request.encode(), verify=tls_context())

    asked = SignSubtree(2, size, part, proof, shown(at_three, gym).content)
    answer = sign(asked)
    (line,) = parse_lines(answer.content)
    assert (answer.status_code, line.payload[:8]) == (200, bytes(8))
    assert sign(SignSubtree(2, size, bytes(32), proof, asked.note)).status_code == 422
    assert sign(SignSubtree(2, size, part, proof, head_of(gym, size))).status_code == 403
    assert sign(SignSubtree(1, 3, part, proof, asked.note)).status_code == 400  # no subtree
    assert sign(SignSubtree(8, 9, part, proof, asked.note)).status_code == 400  # beyond the tree


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """The folder of a witness that knows nobody yet."""
    folder = tmp_path / "w"
    create_witness(folder, name="witness.example", url="http://127.0.0.1:1", bind="127.0.0.1:1", sandbox=True)
    return folder


@pytest.mark.parametrize("lost", ["gone", "empty"])
def test_a_witness_that_has_lost_its_memory_does_not_start(alone: Path, gym: Company, lost: str) -> None:
    """Its keys are there: it would cosign another history of what it has cosigned before."""
    witness = Witness(alone, clock=gym.clock)
    witness.memory.know_keys([log_key(gym)])
    witness._add_checkpoint(grown(gym, 0, 2).encode())
    witness.close()
    for path in alone.glob("witness.db*"):
        path.unlink()
    if lost == "empty":
        (alone / "witness.db").touch()
    with pytest.raises(SettingsInvalid, match="memory is gone"):
        Witness(alone, clock=gym.clock)


def test_a_node_that_was_put_back_from_a_backup_cosigns_no_other_history_than_it_has_followed(tmp_path: Path) -> None:
    """What it cosigned since the backup is forgotten; what it follows it learns anew."""
    with town(tmp_path) as story:
        gym, insurer = story.company("gym.example"), story.company("insurer.example")
        gym.stop()  # it follows nobody from now on, else it would know better than the insurer's backup
        alone = load_settings(gym.folder).model_copy(update={"follow_interval_s": 0})
        (gym.folder / "node.toml").write_text(alone.text())
        gym.start()
        story.settle()
        size = gym.node.publisher.published_size
        later(story)
        assert asked_again(NodeStand(insurer), gym, size).status_code == 200
        insurer.stop()
        backup = insurer.back_up()
        insurer.start()
        agree(story, insurer, gym)
        later(story)
        more = gym.node.publisher.published_size
        assert asked_again(NodeStand(insurer), gym, more).status_code == 200
        insurer.stop()
        insurer.restore(backup)
        insurer.start()
        later(story)
        assert not insurer.node.standing.is_read_only
        leaves = [gym.node.publisher.reader(more)(0, index) for index in range(size)]
        leaves += [hashlib.sha256(f"another {index}".encode()).digest() for index in range(size, more)]
        forked = Frontier.empty().extend(leaves)
        proof = prove_consistency(size, new_size=more, read=lambda level, at: subtree_of(leaves, level, at))
        request = AddCheckpoint(size, tuple(proof), head_of(gym, more, root=forked.root()))
        answer = ask(NodeStand(insurer), request)
        assert answer.status_code == 409
        assert int(answer.content) >= more


@pytest.mark.parametrize("lost", ["rows", "tally"])
def test_a_node_whose_rows_were_put_back_cosigns_nothing_before_it_has_new_keys(tmp_path: Path, lost: str) -> None:
    """Its own log has not grown, so that nobody contradicts it; what it cosigned since the backup, it has forgotten.

    Where the disk was lost the rows are back, and the file that no backup holds is not.
    """
    with town(tmp_path) as story:
        gym, insurer = story.company("gym.example"), story.company("insurer.example")
        for each in (gym, insurer):
            each.stop()
            alone = load_settings(each.folder).model_copy(update={"follow_interval_s": 0})
            (each.folder / "node.toml").write_text(alone.text())
            each.start()
        story.settle()
        stand, size = NodeStand(insurer), gym.node.publisher.published_size
        assert ask(stand, grown(gym, 0, size - 1)).status_code == 200
        insurer.stop()
        backup = insurer.back_up()
        insurer.start()
        assert ask(stand, grown(gym, size - 1, size)).status_code == 200
        insurer.stop()
        if lost == "rows":
            insurer.restore(backup, rows_alone=True)
        else:
            (insurer.folder / "witness.tally").unlink()
        insurer.start()
        story.clock.at_s += 1
        seen = size - 1 if lost == "rows" else size
        assert ask(stand, grown(gym, seen, size)).status_code == 503
        for role in WITNESS_ROLES:
            with open_key_folder(insurer.folder, clock=story.clock) as place:
                rotate_key(place, role, overlap_days=30)
        insurer.work()
        answer = ask(stand, grown(gym, seen, size))
        assert answer.status_code == 200
        new = {insurer.node.keys.public(role) for role in WITNESS_ROLES}
        own = {key.key_id: key.public_key for key in insurer.node.keys.witness_keys("insurer.example/witness")}
        assert {
            own[line.key_id] for line in parse_lines(answer.content)
        } == new  # in the overlap the old ones are quiet
        insurer.stop()
        insurer.start()
        story.clock.at_s += 1
        assert ask(stand, grown(gym, size, size)).status_code == 200


def later(story: Town) -> None:
    """Let enough time pass for everybody to look at everybody's log."""
    for _ in range(2):
        story.clock.at_s += 400
        story.settle()


def asked_again(witness: Stand, company: Company, size: int) -> httpx.Response:
    """Submit a head as a log does: from the size that the witness says it has seen."""
    answer = ask(witness, grown(company, 0, size))
    return ask(witness, grown(company, int(answer.content), size)) if answer.status_code == 409 else answer


def subtree_of(leaves: list[bytes], level: int, index: int) -> bytes:
    return Frontier.empty().extend(leaves[index << level : (index + 1) << level]).root()


def test_two_processes_on_one_folder_cosign_one_branch(alone: Path, gym: Company) -> None:
    """A copied service file starts it twice: both hold the same database."""
    first, second = (Witness(alone, clock=SetClock(gym.clock.now_s())) for _ in range(2))
    first.memory.know_keys([log_key(gym)])
    answers: list[str] = []

    def feed(witness: Witness, root: bytes) -> None:
        try:
            witness._add_checkpoint(AddCheckpoint(0, (), head_of(gym, 2, root=root)).encode())
            answers.append("cosigned")
        except Exception as error:  # noqa: BLE001  # counted below
            answers.append(str(error))

    feeders = [
        threading.Thread(target=feed, args=(each, bytes([n] * 32))) for n, each in enumerate((first, second) * 4)
    ]
    for feeder in feeders:
        feeder.start()
    for feeder in feeders:
        feeder.join()
    first.close()
    second.close()
    assert answers.count("cosigned") == 1, answers
    assert sum("seen another size" in each for each in answers) == 7, answers


def test_a_memory_that_cannot_be_written_answers_nothing(alone: Path, gym: Company) -> None:
    witness = Witness(alone, clock=SetClock(gym.clock.now_s()))
    witness.memory.know_keys([log_key(gym)])
    witness.memory._connection.execute("PRAGMA query_only=ON")
    with pytest.raises(Exception, match="storage_unavailable"):
        witness._add_checkpoint(grown(gym, 0, 2).encode())
    witness.close()
    again = Witness(alone, clock=SetClock(gym.clock.now_s()))
    assert again.memory.last_note(hashlib.sha256(gym.node.settings.log_origin.encode()).hexdigest()) is None
    again.close()


def test_a_witness_is_set_up_and_killed_and_remembers(tmp_path: Path, gym: Company) -> None:
    """`tally-node witness` as its operator uses it; after a kill -9, what was answered is on disk."""
    folder, tally = tmp_path / "w", CliRunner()
    stand = AloneStand(folder, clock=gym.clock)
    files = [str(gym.folder / name) for name in ("log.vkey", "log-pq.vkey")]
    assert "Witnesses gym.example/log/2027" in tally.invoke(app, ["witness", "add", str(folder), *files]).stdout
    lines = tally.invoke(app, ["witness", "key", str(folder)]).stdout.splitlines()
    command = [sys.executable, "-m", "tallystick_node.cli", "witness", "serve", str(folder)]
    environment = {**os.environ, "TALLYSTICK_CLOCK_FILE": str(tmp_path / "clock")}
    (tmp_path / "clock").write_text(f"{gym.clock.now_s()}\n")
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        wait_for(f"{stand.prefix}/healthz")
        answer = ask(stand, grown(gym, 0, 3))
        process.send_signal(signal.SIGKILL)
        process.wait()
    finally:
        process.kill()
        process.wait()
    stand.start()
    try:
        opened = open_note(shown(stand, gym).content, [log_key(gym), *keys_in(lines)])
        assert (len(opened.verified), b"".join(line.text for line in opened.lines[1:])) == (3, answer.content)
    finally:
        stand.stop()


def wait_for(url: str) -> None:
    until_s = time.monotonic() + 30
    while time.monotonic() < until_s:
        try:
            if httpx.get(url, verify=tls_context()).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise AssertionError("the witness did not start")


def test_a_company_s_logs_are_added_by_its_descriptor(alone: Path, gym: Company) -> None:
    tally, descriptor = CliRunner(), str(gym.folder / "descriptor.jwt")
    add = ["witness", "add", str(alone), "--descriptor", descriptor, "--fingerprint"]
    assert "Witnesses gym.example" in tally.invoke(app, [*add, gym.keys.fingerprint]).stdout
    assert tally.invoke(app, [*add, "0" * 64]).exit_code != 0
    witness = Witness(alone, clock=gym.clock)
    assert witness.memory.keys_of("gym.example/log/2031-2", now_s=gym.clock.at_s)
    assert not witness.memory.keys_of("gym.example/log/2031-2/x", now_s=gym.clock.at_s)
    assert not witness.memory.keys_of("other.example/log/2031", now_s=gym.clock.at_s)
    witness.close()


def test_an_older_descriptor_does_not_bring_back_what_a_newer_one_took_away(alone: Path, gym: Company) -> None:
    fingerprint, now = gym.keys.fingerprint, gym.node.descriptor()
    told = open_descriptor(now, expected_fingerprint=fingerprint)
    newer = sign_descriptor(
        told.model_copy(update={"issued_at": told.issued_at + 1}), identity=gym.keys.ed25519("identity")
    )
    with closing(Witness(alone, clock=gym.clock)) as witness:
        witness.memory.know_company(newer, expected_fingerprint=fingerprint)
        with pytest.raises(DescriptorOlder):
            witness.memory.know_company(now, expected_fingerprint=fingerprint.upper())
        witness.memory.know_company(newer, expected_fingerprint=fingerprint)


@pytest.mark.parametrize("spoil", ["readable", "short", "missing", "settings"])
def test_a_witness_whose_files_are_not_its_own_does_not_start(alone: Path, spoil: str) -> None:
    key = alone / "witness-pq.key"
    if spoil == "readable":
        key.chmod(0o644)
    elif spoil == "short":
        key.write_text("AAAA\n")
    elif spoil == "missing":
        key.unlink()
    else:
        (alone / "witness.toml").write_text("name = 1\n")
    with pytest.raises(SettingsInvalid):
        Witness(alone, clock=SetClock(1))


def test_a_folder_that_holds_something_is_not_made_a_witness(alone: Path) -> None:
    with pytest.raises(SettingsInvalid, match="not empty"):
        create_witness(alone, name="w", url="http://h", bind="127.0.0.1:1", sandbox=True)
    shutil.rmtree(alone)
    with pytest.raises(SettingsInvalid, match="No key"):
        create_witness(alone, name="two words", url="http://h", bind="127.0.0.1:1", sandbox=True)
