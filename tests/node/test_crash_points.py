"""The power fails at each named point between two durable steps: what was acknowledged is there, and all goes on.

At its point the process stops dead: whatever it would do to its database, its files or the network from then on is not
done. It is started again, and whoever asked asks again. The steps of a publication on the file system are in
`test_publisher`, one by one; the simulator mixes all of this with faults of disk, network and clock.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import event
from town import Company, Town, agree, at, evidence, link, town

from tallystick.audit import DirectorySource, audit
from tallystick_ledger.errors import TallyError
from tallystick_ledger.tlog.head import Checkpoint, parse_checkpoint_body
from tallystick_ledger.tlog.keys import COSIGNATURE_ED25519, VerifierKey
from tallystick_ledger.tlog.merkle import check_consistency, prove_consistency
from tallystick_ledger.tlog.note import unchecked_text
from tallystick_ledger.tlog.tiles import CHECKPOINT
from tallystick_node.config import load_settings


class PowerFailure(BaseException):
    """The power has failed."""


class Power:
    """Lets the power of one company fail at a named point."""

    def __init__(self, company: Company, point: str, patch: pytest.MonkeyPatch) -> None:
        self.point = point
        self.has_failed = False
        node = company.node
        event.listen(node.engine, "commit", lambda _connection: self.reach("before the commit"))
        transaction = node.writer._transaction

        @contextmanager
        def committed() -> Iterator[Any]:
            with transaction() as connection:
                yield connection
            self.reach("after the commit, before the answer")

        patch.setattr(node.writer, "_transaction", committed)
        store: Any = node.shards.current.store
        for name in ("write", "flush", "replace", "delete"):
            patch.setattr(store, name, self._around(getattr(store, name), name))
        carry = company.recorder.handle_async_request

        async def carried(request: httpx.Request) -> httpx.Response:
            self.reach("before a message is sent")
            response = await carry(request)
            self.reach("after a message arrived, before its answer is written down")
            return response

        patch.setattr(company.recorder, "handle_async_request", carried)

    def reach(self, point: str) -> None:
        """Fail here, if this is the point; fail everywhere from then on."""
        if self.has_failed or point == self.point:
            self.has_failed = True
            raise PowerFailure(self.point)

    def _around(self, step: Callable[..., None], name: str) -> Callable[..., None]:
        before, after = STEPS[name]

        def stepped(*values: Any) -> None:
            self.reach(before)
            step(*values)
            self.reach(after)

        return stepped


STEPS = {
    "write": ("before a tile is written", "after a tile is written"),
    "flush": ("after the tiles, before they are flushed", "after they are flushed"),
    "replace": ("before the head is replaced", "after the head is replaced"),
    "delete": ("before a covered tile is removed", "after a covered tile is removed"),
}
PUBLISHING = [point for name in ("write", "flush", "replace") for point in STEPS[name]]
COMMITTING = ["before the commit", "after the commit, before the answer"]
SENDING = ["before a message is sent", "after a message arrived, before its answer is written down"]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A gym whose heads the insurer must cosign; they have agreed on a program."""
    with town(Path(tmp_path_factory.mktemp("town"))) as made:
        gym, insurer = made.company("gym.example"), made.company("insurer.example")
        gym.stop()
        logs = [f"log {(gym.folder / name).read_text().strip()}" for name in ("log.vkey", "log-pq.vkey")]
        key = VerifierKey("insurer.example/witness", COSIGNATURE_ED25519, insurer.keys.public("witness"))
        lines = [*logs, f"witness w {key.text} {insurer.url}/witness", "quorum w", ""]
        (gym.folder / "witness.policy").write_text("\n".join(lines))
        named = load_settings(gym.folder).model_copy(update={"witness_policy": "witness.policy"})
        (gym.folder / "node.toml").write_text(named.text())
        gym.start()
        agree(made, insurer, gym)
        yield made


def head(company: Company) -> Checkpoint:
    return parse_checkpoint_body(unchecked_text((company.log / CHECKPOINT).read_bytes()))


def try_to(act: Callable[[], object]) -> None:
    """Do something whose company may lose its power over it."""
    with suppress(PowerFailure, TallyError):
        act()


def restarted(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    company.stop()
    monkeypatch.undo()
    company.start()


def assert_sound(story: Town, before: Checkpoint) -> None:
    """Both logs hold, the gym's published head continues the one of before, and the witness has seen no other."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    report = audit([DirectorySource(str(gym.log)), DirectorySource(str(insurer.log))])
    assert report.holds, report.findings
    after, reader = head(gym), gym.node.publisher.reader(head(gym).size)
    proof = prove_consistency(before.size, new_size=after.size, read=reader)
    check_consistency(
        proof, old_size=before.size, old_root=before.root, new_size=after.size, new_root=after.root
    )  # fmt: skip
    assert after == gym.node.publisher.committed()
    assert not gym.node.standing.is_read_only
    assert not gym.node.evidence.count


@pytest.mark.parametrize("point", [*COMMITTING, *PUBLISHING])
def test_a_request_whose_answer_was_lost_is_answered_when_it_is_sent_again(
    story: Town, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """An offer's acceptance writes custody and the database: neither is there without the other in the end."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    before, who = head(gym), point.replace(" ", "-").replace(",", "")
    person = link(gym, insurer, at_gym=f"{who}-at-gym", at_insurer=f"{who}-at-ins", town=story)
    asked = insurer.app().receipts.request(person.link)
    story.settle()
    power = Power(gym, point, monkeypatch)

    def give() -> None:
        gym.app().receipts.give(
            asked.receipt, subject=f"{who}-at-gym", evidence=evidence(), idempotency_key=f"give-{who}"
        )

    try_to(give)
    try_to(gym.work)
    assert power.has_failed, "the point was never reached"
    restarted(gym, monkeypatch)
    give()
    story.settle()
    assert insurer.app().receipts.get(asked.receipt).state == "given"
    assert gym.app().receipts.get(asked.receipt).acknowledged_at is not None
    assert_sound(story, before)


@pytest.mark.parametrize("point", [*SENDING, *COMMITTING])
def test_a_message_under_way_is_applied_once(story: Town, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    before, who = head(gym), "sent-" + point.replace(" ", "-").replace(",", "")
    person = link(gym, insurer, at_gym=f"{who}-at-gym", at_insurer=f"{who}-at-ins", town=story)
    asked = insurer.app().receipts.request(person.link)
    story.settle()
    gym.app().receipts.give(asked.receipt, subject=f"{who}-at-gym", evidence=evidence())
    power = Power(gym, point, monkeypatch)
    try_to(gym.work)
    assert power.has_failed, "the point was never reached"
    restarted(gym, monkeypatch)
    story.clock.at_s += 60
    story.settle()
    assert gym.app().receipts.get(asked.receipt).acknowledged_at is not None
    assert_sound(story, before)


@pytest.mark.parametrize("point", COMMITTING)
def test_a_witness_remembers_before_it_answers(story: Town, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    """The insurer loses its power over the gym's head; the gym submits it again."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    before, who = head(gym), "witness-" + point.replace(" ", "-").replace(",", "")
    link(gym, insurer, at_gym=f"{who}-at-gym", at_insurer=f"{who}-at-ins", town=story)
    gym.node.writer.submit(lambda transaction: transaction.append("event", {"commitment": "A" * 43})).result()
    power = Power(insurer, point, monkeypatch)
    with pytest.raises(Exception, match=r"Too few"):
        gym.node.publisher.publish()
    assert power.has_failed, "the point was never reached"
    restarted(insurer, monkeypatch)
    restarted(gym, monkeypatch)
    story.settle()
    assert_sound(story, before)


TURNING = ["before the commit", "after the commit, before the answer", *PUBLISHING]


@pytest.mark.parametrize("point", TURNING)
def test_the_year_is_turned_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    """At any point of it the old log goes on, or the new one; never both, and never neither."""
    with town(tmp_path, starts="2027-12-31 12:00") as story:
        gym = story.company("gym.example")
        gym.node.writer.submit(lambda transaction: transaction.append("event", {"commitment": "A" * 43})).result()
        power = Power(gym, point, monkeypatch)
        story.clock.at_s = at("2028-01-01 12:00")
        try_to(gym.work)
        assert power.has_failed, "the point was never reached"
        restarted(gym, monkeypatch)
        story.settle()
        assert gym.node.shards.names() == ["2027", "2028"]
        for shard in ("2027", "2028"):
            opened = gym.node.shards.named(shard)
            assert opened is not None
            assert opened.publisher.published_size == opened.publisher.committed().size
        logs = (gym.log, gym.folder / "shards" / "2028" / "log")
        report = audit([DirectorySource(str(log)) for log in logs])
        assert report.holds, report.findings
