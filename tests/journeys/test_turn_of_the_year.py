"""A link and a receipt of December, a claim in January: every company goes on in the log of the new year.

The old logs end with their last head and stay served; the new ones begin with what the old ones led to, and an audit
holds each against the other.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select
from town import ANA_MARCH, Company, Membership, Town, agree, at, consent, evidence, link, town

from tallystick.audit import DirectorySource, audit
from tallystick_consent.chain import Chain, check_chain
from tallystick_consent.replay import ConsentReplay
from tallystick_ledger.entry import Entry, parse_entry
from tallystick_ledger.replay import LedgerReplay
from tallystick_ledger.tlog.head import parse_checkpoint_body
from tallystick_ledger.tlog.note import unchecked_text
from tallystick_ledger.tlog.reader import TileReader
from tallystick_ledger.tlog.witness import AddCheckpoint
from tallystick_node.clock import SetClock
from tallystick_node.errors import LogReadOnly
from tallystick_node.jobs import TURN_AGAIN_AFTER_S
from tallystick_node.log.store import FolderStore
from tallystick_node.storage.tables import CLAIMS, EVENTS, HEADS

DECEMBER_CLOSES = "2028-01-16 00:00"


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path, starts="2027-11-27 09:00") as made:
        yield made


def member(story: Town) -> Membership:
    """A person who is linked, and has said yes, before December begins."""
    gym, insurer = story.company("gym.example"), story.company("insurer.example")
    agree(story, insurer, gym)
    person = consent(link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story), story)
    story.go_to("2027-12-01 10:00")
    person.confirm_membership("2027-12-01 09:00")
    return person


def shard(company: Company, name: str) -> Path:
    return company.log if name == "2027" else company.folder / "shards" / name / "log"


def entries(log: Path) -> list[Entry]:
    """Return the entries that a published log covers."""
    head = parse_checkpoint_body(unchecked_text((log / "checkpoint").read_bytes()))
    reader = TileReader(FolderStore(log).read, head.size)
    return [parse_entry(reader.entry(index)) for index in range(head.size)]


def replayed(company: Company, name: str) -> tuple[LedgerReplay, ConsentReplay]:
    ledger, consent_there = LedgerReplay(f"{company.host}/log/{name}"), ConsentReplay(company.host, name)
    for index, entry in enumerate(entries(shard(company, name))):
        ledger.take(entry.raw)
        consent_there.take(entry, index)
    assert ledger.findings == []
    assert consent_there.findings == []
    return ledger, consent_there


def chain(company: Company, earlier: str, later: str) -> Chain:
    head = parse_checkpoint_body(unchecked_text((shard(company, earlier) / "checkpoint").read_bytes()))
    return check_chain(
        *replayed(company, earlier), head=head, later=replayed(company, later)[0], where=f"{later} entry 0"
    )


def assert_both_years_hold(story: Town, *names: str) -> None:
    """Every log of every company holds alone and against the others, and each year goes on where the last one ended."""
    companies = story.companies.values()
    report = audit([DirectorySource(str(shard(company, name))) for company in companies for name in names])
    assert report.holds, report.findings
    for company in companies:
        for earlier, later in pairwise(names):
            assert chain(company, earlier, later) == Chain()


def test_a_claim_for_december_is_issued_in_january_and_both_years_are_audited(story: Town) -> None:
    person = member(story)
    person.train(story, ANA_MARCH, month="2027-12")
    story.go_to("2027-12-31 18:59")  # UTC is five hours ahead: still the old year
    assert person.gym.node.shards.names() == ["2027"]
    story.go_to("2027-12-31 19:00")
    for company in story.companies.values():
        assert company.node.shards.names() == ["2027", "2028"]
        assert company.node.publisher.origin == f"{company.host}/log/2028"
    ended = (person.gym.log / "checkpoint").read_bytes()
    story.go_past_release(DECEMBER_CLOSES)
    (reward,) = person.insurer.app().rewards.find("ana-at-ins").rewards
    assert (reward.amount, reward.state, reward.period) == (2000, "posted", "2027-12")
    (row,) = person.gym.node.rows(select(CLAIMS.c.log, CLAIMS.c.state))
    assert (row.log, row.state) == ("2028", "delivered")
    # The receipt stands in the opening, and that is what the answer names.
    issued = next(each for each in entries(shard(person.gym, "2028")) if each.kind == "disclosure")
    opening = entries(shard(person.gym, "2028"))[issued.body["receipt_leaf"]]
    assert any(each["kind"] == "receipt" for each in opening.body["carried"])
    assert (person.gym.log / "checkpoint").read_bytes() == ended
    assert_both_years_hold(story, "2027", "2028")


def test_a_claim_on_its_way_at_new_year_arrives_with_the_proof_of_the_old_log(story: Town) -> None:
    """The insurer is away from before the close of October until January."""
    gym, insurer = story.company("gym.example"), story.company("insurer.example")
    story.clock.at_s = at("2027-11-27 10:00")
    agree(story, insurer, gym)
    person = link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story)
    asked = insurer.app().receipts.request(person.link, events_from=at("2027-11-01 00:00"))
    story.settle()
    person.receipt = gym.app().receipts.give(asked.receipt, subject="ana-at-gym", evidence=evidence()).receipt
    story.settle()
    person.confirm_membership("2027-11-01 09:00")
    for day in range(1, 14):
        person.visit(f"2027-11-{day:02} 18:00", 45)
    insurer.stop()
    story.go_to("2027-12-16 00:00")
    (row,) = gym.node.rows(select(CLAIMS.c.log, CLAIMS.c.state))
    assert (row.log, row.state) == ("2027", "issued")
    story.go_to("2028-01-02 00:00")
    insurer.start()
    story.clock.at_s += 3_700
    story.settle()
    (row,) = gym.node.rows(select(CLAIMS.c.log, CLAIMS.c.state))
    assert (row.log, row.state) == ("2027", "delivered")
    (accepted,) = [each for each in entries(shard(insurer, "2028")) if each.kind == "acceptance"]
    assert accepted.body["log"] == "gym.example/log/2027"
    assert_both_years_hold(story, "2027", "2028")


def test_a_withdrawal_of_the_old_year_is_acknowledged_in_the_new_one(story: Town) -> None:
    person = member(story)
    person.insurer.stop()
    story.go_to("2027-12-30 10:00")
    person.gym.app().receipts.withdraw(person.receipt, subject="ana-at-gym")
    story.go_to("2028-01-02 00:00")
    assert person.gym.app().receipts.get(person.receipt).end_acknowledged_at is None
    person.insurer.start()
    story.clock.at_s += 3_700
    story.settle()
    assert person.gym.app().receipts.get(person.receipt).end_acknowledged_at is not None
    assert_both_years_hold(story, "2027", "2028")


def test_years_follow_each_other(story: Town) -> None:
    person = member(story)
    person.train(story, ANA_MARCH, month="2027-12")
    for day in ("2028-01-02 00:00", DECEMBER_CLOSES, "2028-06-01 00:00", "2029-01-02 00:00"):
        story.go_to(day)
    person.gym.stop()
    person.gym.start()  # it finds its logs again
    story.settle()
    assert person.gym.node.shards.names() == ["2027", "2028", "2029"]
    assert_both_years_hold(story, "2027", "2028", "2029")
    assert [row.successor for row in person.gym.node.rows(select(HEADS.c.successor).order_by(HEADS.c.log))] == [
        "2028",
        "2029",
        None,
    ]


def test_the_old_log_stays_served_and_a_year_that_is_none_of_ours_is_not(story: Town) -> None:
    person = member(story)
    story.go_to("2028-01-02 00:00")
    gym = person.gym
    for name in ("2027", "2028"):
        assert httpx.get(f"{gym.url}/log/{name}/checkpoint").content == (shard(gym, name) / "checkpoint").read_bytes()
    assert httpx.get(f"{gym.url}/log/2029/checkpoint").status_code == 404
    assert httpx.get(f"{gym.url}/log/2027-2/checkpoint").status_code == 404
    (event,) = gym.node.rows(select(EVENTS.c.log, EVENTS.c.leaf))
    assert event.log == "2027"
    proven = gym.node.prove(event.log, event.leaf)
    assert proven is not None
    assert parse_entry(proven.entry.encode()).kind == "event"


def test_a_year_s_log_that_somebody_has_seen_already_is_not_begun_again(story: Town) -> None:
    """The gym is restored, in January, from a backup that was made when nothing more came in December."""
    person = member(story)
    gym, insurer = person.gym, person.insurer
    gym.stop()
    backup = gym.back_up()
    gym.start()
    story.go_to("2028-01-02 00:00")
    note = (shard(gym, "2028") / "checkpoint").read_bytes()
    ask = f"{insurer.url}/witness/add-checkpoint"
    followed = httpx.post(ask, content=AddCheckpoint(0, (), note).encode())
    assert followed.status_code == 409, "the insurer follows the log, and says how far it knows it"
    seen = AddCheckpoint(int(followed.text), (), note)
    assert httpx.post(ask, content=seen.encode()).status_code == 200
    gym.stop()
    gym.restore(backup)
    gym.start()
    gym.work()
    with pytest.raises(LogReadOnly):
        gym.node.writer.submit(lambda transaction: transaction.append("event", {})).result()
    assert gym.node.shards.names() == ["2027"]
    assert httpx.get(f"{gym.url}/readyz").json()["status"] == "read_only"


def test_the_year_is_not_begun_by_a_clock_that_a_witness_contradicts(story: Town) -> None:
    person = member(story)
    gym = person.gym
    gym.node.standing.heed_time("insurer.example/witness", story.clock.at_s)
    ahead = SetClock(at("2028-01-01 12:00"))
    gym.node.clock = gym.node.writer._clock = gym.node.standing.clock = ahead
    gym.node.standing.heed_time("insurer.example/witness", story.clock.at_s)
    gym.work()
    assert gym.node.shards.names() == ["2027"]
    ahead.at_s += TURN_AGAIN_AFTER_S
    gym.node.standing.heed_time("insurer.example/witness", ahead.at_s)
    gym.work()
    assert gym.node.shards.names() == ["2027", "2028"]


@pytest.mark.long
def test_an_erasure_of_december_is_attested_in_january_and_both_years_say_so(story: Town) -> None:
    person = member(story)
    person.insurer.stop()
    story.go_to("2027-12-29 12:00")
    person.gym.app().subjects.erase(person.at_gym)
    story.go_to("2027-12-30 12:00")
    story.go_to("2028-01-05 12:00")
    (waiting,) = person.gym.app().subjects.erasures().erasures
    assert waiting.state == "asked"
    opening = entries(shard(person.gym, "2028"))[0]
    assert "erasure" in {each["kind"] for each in opening.body["carried"]}
    person.insurer.start()
    story.go_to("2028-01-05 15:00")
    (done,) = person.gym.app().subjects.erasures(person.at_gym).erasures
    assert done.state == "attested"
    assert [each.body["state"] for each in entries(shard(person.gym, "2028")) if each.kind == "erasure"] == ["attested"]
    assert_both_years_hold(story, "2027", "2028")


def test_one_of_several_witnesses_does_not_hold_up_the_year(story: Town) -> None:
    """Two agree with the gym's clock; the third says that it is a month earlier, and goes on saying so."""
    person = member(story)
    gym = person.gym
    gym.node.clock = gym.node.writer._clock = gym.node.standing.clock = SetClock(at("2028-01-01 12:00"))
    now_s = gym.node.now_s()
    for name, signed_at_s in (("one", now_s), ("two", now_s - 60), ("third", now_s - 30 * 86_400)):
        gym.node.standing.heed_time(name, signed_at_s)
    gym.work()
    assert gym.node.shards.names() == ["2027", "2028"]


@pytest.mark.long
def test_a_claim_of_last_year_is_taken_back_this_year_and_the_year_after_carries_that(story: Town) -> None:
    """The event and the claim stand in older logs; the correction, the retraction and the reversal name them."""
    person = member(story)
    story.clock.at_s = at("2027-12-01 22:00")
    first = person.visit("2027-12-01 18:00", ANA_MARCH[1])
    person.train(story, {day: minutes for day, minutes in ANA_MARCH.items() if day > 1}, month="2027-12")
    for when in (DECEMBER_CLOSES, "2028-01-17 06:00", "2028-12-31 20:00"):
        story.go_to(when)
    assert person.insurer.app().rewards.find("ana-at-ins").rewards[0].state == "posted"
    corrected = person.gym.app().events.correct(subject=person.at_gym, event=first)
    assert corrected.effects[0].outcome == "revoked"
    story.release()
    assert person.insurer.app().rewards.find("ana-at-ins").rewards[0].state == "reversed"
    assert_both_years_hold(story, "2027", "2028", "2029")
    story.go_to("2029-12-31 20:00")
    assert_both_years_hold(story, "2027", "2028", "2029", "2030")


@pytest.mark.long
def test_an_answer_of_last_year_that_is_taken_and_taken_back_this_year_is_revoked_in_this_years_log(
    story: Town,
) -> None:
    """The insurer is away over New Year, so its acceptance and its retraction stand beside a `revoked` of 2028."""
    gym, insurer = story.company("gym.example"), story.company("insurer.example")
    agree(story, insurer, gym)
    person = link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story)
    asked = insurer.app().receipts.request(person.link, events_from=at("2027-11-01 00:00"))
    story.settle()
    person.receipt = gym.app().receipts.give(asked.receipt, subject="ana-at-gym", evidence=evidence()).receipt
    story.settle()
    person.confirm_membership("2027-11-01 09:00")
    visits = [person.visit(f"2027-11-{day:02} 18:00", 45) for day in range(1, 13)]
    insurer.stop()
    story.go_to("2027-12-16 00:00")
    story.go_to("2028-01-02 00:00")
    insurer.start()
    story.clock.at_s += 3_700
    story.settle()
    gym.app().events.correct(subject="ana-at-gym", event=visits[3])
    for _ in range(3):
        story.release()
        story.settle()
    assert [each.state for each in insurer.app().rewards.find("ana-at-ins").rewards] == ["reversed"]
    report = audit([DirectorySource(str(shard(each, year))) for each in (gym, insurer) for year in ("2027", "2028")])
    assert report.holds, report.findings
