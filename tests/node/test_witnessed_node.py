"""A node whose heads others cosign: a partner's node, and a witness that is nobody's partner (P1, P12)."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from town import Company, Town, agree, town
from witnesses import AloneStand, keys_in

from tallystick.audit import DirectorySource, audit
from tallystick.evidence import TwoHeads, parse_evidence, two_heads
from tallystick_ledger.errors import PolicyUnmet
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.note import NoteSigner, sign_note
from tallystick_ledger.tlog.policy import parse_policy
from tallystick_node.config import load_settings
from tallystick_node.errors import ForkSuspected, LogReadOnly
from tallystick_node.keys.changes import revoke_key
from tallystick_node.setup import open_key_folder, witness_policy_lines


def with_policy(company: Company, *lines: str, waits: bool = True) -> None:
    """Close the company, name its witnesses in its settings, and open it again."""
    company.stop()
    logs = [f"log {(company.folder / name).read_text().strip()}" for name in ("log.vkey", "log-pq.vkey")]
    (company.folder / "witness.policy").write_text("".join(f"{line}\n" for line in (*logs, *lines)))
    settings = load_settings(company.folder)
    named = settings.model_copy(update={"witness_policy": "witness.policy", "publication_waits": waits})
    (company.folder / "node.toml").write_text(named.text())
    company.start()


def log_keys(company: Company) -> list[VerifierKey]:
    return [VerifierKey.parse((company.folder / name).read_text().strip()) for name in ("log.vkey", "log-pq.vkey")]


def write(company: Company, what: str) -> None:
    asyncio.run(company.node.written(lambda transaction: transaction.append("program", {"later": what})))


def readyz(company: Company) -> dict[str, str]:
    return dict(httpx.get(f"{company.url}/readyz").json())


Scene = tuple[Town, Company, Company, AloneStand]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A gym, an insurer that is its partner, and a witness that is nobody's; all three have seen the gym's log."""
    with town(tmp_path) as made:
        gym, insurer = made.company("gym.example"), made.company("insurer.example")
        stand = AloneStand(tmp_path / "witness", clock=made.clock)
        stand.start()
        stand.know(gym)
        independent = stand.policy_lines
        groups = [
            "group partners any insurer.example",
            "group independents any witness.example witness.example-pq",
            "group both all partners independents",
            "quorum both",
        ]
        with_policy(gym, *witness_policy_lines(insurer.folder)[:1], *independent, *groups)
        yield made, gym, insurer, stand
        stand.stop()


def test_a_head_is_published_with_what_the_policy_asks_for(scene: Scene) -> None:
    story, gym, insurer, stand = scene
    agree(story, insurer, gym)
    policy = parse_policy((gym.folder / "witness.policy").read_bytes())
    head, opened = policy.open((gym.log / "checkpoint").read_bytes(), gym.node.settings.log_origin)
    assert head.size > 1
    assert {each.key for each in opened.verified} >= set(keys_in(stand.policy_lines))
    report = audit([DirectorySource(str(gym.log), policy=policy), DirectorySource(str(gym.log))])
    assert report.holds, report.findings
    assert readyz(gym) == {"status": "ready", "publication": "cosigned", "evidence": "none"}
    assert readyz(insurer)["publication"] == "not_witnessed"


def test_without_the_independent_witness_a_head_waits(scene: Scene) -> None:
    story, gym, insurer, stand = scene
    agree(story, insurer, gym)
    published = gym.node.publisher.published_size
    stand.stop()
    write(gym, "while the witness is away")
    with pytest.raises(PolicyUnmet):
        gym.node.publisher.publish()
    assert (gym.node.publisher.published_size, readyz(gym)["publication"]) == (published, "waiting")


def test_a_node_restored_from_an_old_backup_convicts_itself_before_anybody_is_misled(scene: Scene) -> None:
    story, gym, insurer, _ = scene
    gym.stop()
    backup = gym.back_up()
    gym.start()
    agree(story, insurer, gym)
    gym.stop()
    gym.restore(backup)
    gym.start()
    before = (gym.log / "checkpoint").read_bytes()
    with pytest.raises(LogReadOnly):
        write(gym, "another past")
    assert (gym.log / "checkpoint").read_bytes() == before
    gym.node.publisher.publish()
    assert (gym.log / "checkpoint").read_bytes() == before


def test_a_restored_node_that_could_ask_nobody_convicts_itself_before_anybody_is_misled(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallystick_node.log.cosigning.SILENT_FOR_S", 0.0)
    story, gym, insurer, stand = scene
    gym.stop()
    backup = gym.back_up()
    gym.start()
    agree(story, insurer, gym)
    grown = gym.node.publisher.published_size
    gym.stop()
    insurer.stop()
    stand.stop()
    gym.restore(backup)
    gym.start()
    for number in range(grown):
        write(gym, f"another past, {number}")
    insurer.start()
    stand.start()
    before = (gym.log / "checkpoint").read_bytes()
    with pytest.raises(ForkSuspected):
        gym.node.publisher.publish()
    assert (gym.log / "checkpoint").read_bytes() == before
    kept = [parse_evidence(path.read_bytes()) for path in (gym.folder / "evidence").iterdir()]
    forks = [each.check(log_keys(gym)) for each in kept if isinstance(each, TwoHeads)]
    assert {each.origin for each in forks if each.accuses} == {gym.node.settings.log_origin}
    unasked = "insurer.example/witness, witness.example"
    told = {"status": "ready", "publication": "stopped", "evidence": "kept", "not_asked": unasked}
    assert readyz(gym) == told
    with pytest.raises(ForkSuspected):
        gym.node.publisher.publish()


def test_a_log_key_is_revoked_and_what_the_policy_says_of_the_log_s_own_keys_stops_nothing(scene: Scene) -> None:
    """The policy still names the key that was stolen; the log knows its own keys better."""
    story, gym, _, stand = scene
    with_policy(gym, *stand.policy_lines, "quorum none", waits=False)
    story.clock.at_s += 100
    with open_key_folder(gym.folder, clock=story.clock) as place:
        for role in ("log", "log-pq"):
            revoke_key(place, role, since_s=story.clock.at_s, reason="compromised")
    write(gym, "after the theft")
    gym.work()
    assert gym.node.publisher.published_size == gym.node.publisher.committed().size
    gym.stop()
    gym.start()
    write(gym, "after a restart")
    gym.work()
    assert gym.node.publisher.published_size == gym.node.publisher.committed().size


def test_evidence_under_a_key_that_was_revoked_since_stops_no_publication(scene: Scene) -> None:
    _, gym, _, _ = scene
    stolen, origin = gym.node.keys.ed25519("log"), gym.node.settings.log_origin
    thief = NoteSigner(origin, stolen)
    one, other = (sign_note(Checkpoint(origin, 3, bytes([n]) * 32).body(), [thief], now_s=0) for n in (1, 2))
    gym.node.evidence.keep(two_heads(one, other, keys=[thief.verifier_key], read=lambda _level, _index: bytes(32)))
    gym.stop()
    gym.start()
    with pytest.raises(ForkSuspected):
        write_and_publish(gym)
    with open_key_folder(gym.folder, clock=gym.clock) as place:
        revoke_key(place, "log", since_s=gym.clock.now_s(), reason="compromised")
    gym.stop()
    with_policy(gym, "quorum none", waits=False)
    write_and_publish(gym)
    assert gym.node.publisher.published_size == gym.node.publisher.committed().size


def write_and_publish(company: Company) -> None:
    write(company, "more")
    company.node.publisher.publish()
