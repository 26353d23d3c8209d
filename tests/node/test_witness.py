"""Every node witnesses its partners' logs: over HTTP, from its own database, and never a fork (P12)."""

import asyncio
import hashlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from town import Company, Town, agree, town

from tallystick.audit import DirectorySource, audit
from tallystick_ledger.errors import PolicyUnmet
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.tlog.keys import SignatureKind, VerifierKey
from tallystick_ledger.tlog.merkle import prove_consistency, root_at
from tallystick_ledger.tlog.note import NoteSigner, open_note, parse_lines, sign_note
from tallystick_ledger.tlog.policy import parse_policy
from tallystick_ledger.tlog.witness import AddCheckpoint
from tallystick_node.config import load_settings
from tallystick_node.errors import ForkSuspected


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A gym whose log has grown past a few heads, and an insurer that witnesses it."""
    with town(Path(tmp_path_factory.mktemp("town"))) as made:
        gym, insurer = made.company("gym.example"), made.company("insurer.example")
        agree(made, insurer, gym)
        yield made


def head_of(company: Company, size: int, *, root: bytes | None = None, signer: NoteSigner | None = None) -> bytes:
    """Return the company's log at a size, signed with its own key unless another signs."""
    origin = company.node.settings.log_origin
    true_root = root_at(size, company.node.publisher.reader(company.node.publisher.published_size))
    own = NoteSigner(origin, company.keys.ed25519("log"))
    checkpoint = Checkpoint(origin, size, true_root if root is None else root)
    return sign_note(checkpoint.body(), [signer or own], now_s=company.clock.now_s())


def ask(witness: Company, request: AddCheckpoint) -> httpx.Response:
    """Submit a checkpoint."""
    return httpx.post(f"{witness.url}/witness/add-checkpoint", content=request.encode())


def grown(company: Company, old: int, new: int) -> AddCheckpoint:
    """Return an honest request."""
    reader = company.node.publisher.reader(company.node.publisher.published_size)
    proof = prove_consistency(old, new_size=new, read=reader) if 0 < old < new else []
    return AddCheckpoint(old, tuple(proof), head_of(company, new))


def test_a_partner_s_log_is_witnessed_from_its_first_head_on(story: Town) -> None:
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    first = ask(insurer, grown(gym, 0, 1))
    assert (first.status_code, first.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    (line,) = parse_lines(first.content)
    key = VerifierKey("insurer.example/witness", SignatureKind.COSIGNATURE_ED25519, insurer.keys.public("witness"))
    assert key.check(open_note(head_of(gym, 1), gym_keys(gym)).body, line.payload) == story.clock.at_s
    assert ask(insurer, grown(gym, 1, 3)).status_code == 200
    assert ask(insurer, grown(gym, 3, 3)).status_code == 200


def gym_keys(gym: Company) -> list[VerifierKey]:
    """Return the gym's log key."""
    return [VerifierKey(gym.node.settings.log_origin, SignatureKind.ED25519, gym.keys.public("log"))]


def test_each_refusal_has_the_status_that_the_specification_gives_it(story: Town) -> None:
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    ask(insurer, grown(gym, 3, 3))
    stranger = NoteSigner("nobody.example/log/2027", gym.keys.ed25519("log"))
    forger = NoteSigner(gym.node.settings.log_origin, insurer.keys.ed25519("log"))
    unknown = Checkpoint("nobody.example/log/2027", 3, bytes(32))
    unknown_note = sign_note(unknown.body(), [stranger], now_s=0)
    assert ask(insurer, AddCheckpoint(0, (), unknown_note)).status_code == 404
    assert ask(insurer, AddCheckpoint(3, (), head_of(gym, 3, signer=forger))).status_code == 403
    assert httpx.post(f"{insurer.url}/witness/add-checkpoint", content=b"old x\n\n").status_code == 400
    assert ask(insurer, AddCheckpoint(4, (), head_of(gym, 3))).status_code == 400
    conflict = ask(insurer, AddCheckpoint(2, (), head_of(gym, 4)))
    assert (conflict.status_code, conflict.content, conflict.headers["content-type"]) == (
        409,
        b"3\n",
        "text/x.tlog.size; charset=utf-8",
    )
    assert ask(insurer, AddCheckpoint(3, (), head_of(gym, 3, root=bytes(32)))).status_code == 422
    assert ask(insurer, AddCheckpoint(3, (bytes(32),), head_of(gym, 4))).status_code == 422


def test_of_two_feeders_that_race_with_two_branches_one_wins(story: Town) -> None:
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    ask(insurer, grown(gym, 3, 3))
    honest = grown(gym, 3, 4)
    forked = AddCheckpoint(3, honest.proof, head_of(gym, 4, root=hashlib.sha256(b"fork").digest()))
    answers: list[int] = []
    feeders = [
        threading.Thread(target=lambda each=each: answers.append(ask(insurer, each).status_code))
        for each in (honest, forked) * 4
    ]
    for feeder in feeders:
        feeder.start()
    for feeder in feeders:
        feeder.join()
    assert answers.count(200) >= 1
    assert set(answers) <= {200, 409, 422}
    digest = hashlib.sha256(gym.node.settings.log_origin.encode()).hexdigest()
    kept = httpx.get(f"{insurer.url}/witness/{digest}/checkpoint").content
    assert open_note(kept, gym_keys(gym)).body == open_note(honest.note, gym_keys(gym)).body


def test_what_was_cosigned_is_remembered_over_a_restart(story: Town) -> None:
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    digest = hashlib.sha256(gym.node.settings.log_origin.encode()).hexdigest()
    before = httpx.get(f"{insurer.url}/witness/{digest}/checkpoint").content
    insurer.stop()
    insurer.start()
    assert httpx.get(f"{insurer.url}/witness/{digest}/checkpoint").content == before
    assert ask(insurer, grown(gym, 0, 3)).status_code == 409


def with_policy(company: Company, witness: Company, *, quorum: str, waits: bool) -> None:
    """Close the company, name a witness in its settings, and open it again."""
    company.stop()
    logs = [f"log {(company.folder / name).read_text().strip()}" for name in ("log.vkey", "log-pq.vkey")]
    key = VerifierKey(f"{witness.host}/witness", SignatureKind.COSIGNATURE_ED25519, witness.keys.public("witness"))
    lines = [*logs, f"witness w {key.text} {witness.url}/witness", f"quorum {quorum}", ""]
    (company.folder / "witness.policy").write_text("\n".join(lines))
    settings = load_settings(company.folder)
    named = settings.model_copy(update={"witness_policy": "witness.policy", "publication_waits": waits})
    (company.folder / "node.toml").write_text(named.text())
    company.start()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Town, Company, Company]]:
    """A gym whose heads an insurer must cosign before they are published."""
    with town(tmp_path) as made:
        gym, insurer = made.company("gym.example"), made.company("insurer.example")
        with_policy(gym, insurer, quorum="w", waits=True)
        yield made, gym, insurer


def test_a_head_is_published_with_the_cosignature_that_the_policy_asks_for(
    pair: tuple[Town, Company, Company],
) -> None:
    story, gym, insurer = pair
    agree(story, insurer, gym)
    policy = parse_policy((gym.folder / "witness.policy").read_bytes())
    assert policy.check((gym.log / "checkpoint").read_bytes(), gym.node.settings.log_origin).size > 1
    report = audit([DirectorySource(str(gym.log), policy=policy), DirectorySource(str(gym.log))])
    assert report.holds, report.findings


def test_a_head_waits_while_its_witness_is_down(pair: tuple[Town, Company, Company]) -> None:
    story, gym, insurer = pair
    agree(story, insurer, gym)
    published = gym.node.publisher.published_size
    insurer.stop()
    gym.app().programs.list()
    asyncio.run(gym.node.written(lambda transaction: transaction.append("program", {"later": "checked by nobody"})))
    with pytest.raises(PolicyUnmet):
        gym.node.publisher.publish()
    assert gym.node.publisher.published_size == published


def test_a_node_restored_from_an_old_backup_is_caught_by_its_witness(pair: tuple[Town, Company, Company]) -> None:
    story, gym, insurer = pair
    gym.stop()
    backup = story.folder / "backup"
    shutil.copytree(gym.folder, backup)
    gym.start()
    agree(story, insurer, gym)
    gym.stop()
    shutil.rmtree(gym.folder)
    shutil.copytree(backup, gym.folder)
    gym.start()
    asyncio.run(gym.node.written(lambda transaction: transaction.append("program", {"another": "past"})))
    before = (gym.log / "checkpoint").read_bytes()
    with pytest.raises(ForkSuspected):
        gym.node.publisher.publish()
    assert (gym.log / "checkpoint").read_bytes() == before
    (evidence,) = (gym.folder / "evidence").iterdir()
    shown = evidence.read_bytes()
    assert shown.count(gym.node.settings.log_origin.encode() + b"\n") == 2
    with pytest.raises(ForkSuspected):
        gym.node.publisher.publish()


def test_a_log_that_was_never_witnessed_has_no_cosigned_checkpoint(story: Town) -> None:
    insurer = story.companies["insurer.example"]
    assert httpx.get(f"{insurer.url}/witness/{'0' * 64}/checkpoint").status_code == 404
