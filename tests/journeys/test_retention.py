"""What the insurer may keep of Ana, why, and until when: over two real nodes, and its ledger says so."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import select
from town import ANA_MARCH, Company, Membership, Town, agree, at, consent, entries, fitness_program, link, town

from tallystick.audit import DirectorySource, audit
from tallystick_consent.receipts.retention import DISCHARGE_WITHIN_S
from tallystick_consent.replay import TIME_SLACK_S
from tallystick_node.flows.subjects.burying import SPREAD_S
from tallystick_node.storage.database import connect, writing
from tallystick_node.storage.tables import CLAIMS, DUTIES, RECEIPTS, REWARDS

DAY_S = 86_400
ANSWERS = {"field": "answers", "ground": "consent", "until_days": 10}
EVIDENCE = {"field": "evidence", "ground": "legal_claims", "until_days": 30}
ACCOUNTING = {"field": "accounting", "ground": "legal_obligation", "until_days": 400}


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Town]:
    """A gym and an insurer whose program says what the insurer keeps."""
    with town(tmp_path) as made:
        agree_to_keep(made, ACCOUNTING)
        yield made


def agree_to_keep(story: Town, accounting: Mapping[str, object]) -> None:
    gym, insurer = story.company("gym.example"), story.company("insurer.example")
    retention = [ANSWERS, EVIDENCE, accounting]
    insurer.app().programs.publish({**fitness_program(), "retention_days": 10, "retention": retention})
    story.settle()
    gym.app().programs.accept("ins-fit", 1)
    story.settle()


def ana(story: Town) -> Membership:
    """Ana is consented, trained through March, and the insurer has taken the answer."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = consent(link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story), story)
    story.go_to("2027-03-01 10:00")
    person.confirm_membership("2027-03-01 09:00")
    person.train(story, ANA_MARCH)
    story.go_past_release("2027-04-16 00:00")
    assert answers_of(insurer) != [""]
    return person


def answers_of(insurer: Company) -> list[str]:
    return [row.answer for row in insurer.node.rows(select(CLAIMS.c.answer))]


def owed(insurer: Company) -> dict[str, tuple[str, int]]:
    """Return what the insurer says that it keeps, on which ground and until when."""
    return {each.field: (each.ground, each.due) for each in insurer.app().receipts.duties().duties}


def discharged(insurer: Company) -> list[str]:
    return [str(entry.body["field"]) for entry in entries(insurer, "discharge")]


def assert_books_agree(story: Town) -> None:
    report = audit([DirectorySource(str(company.log)) for company in story.companies.values()])
    assert report.holds, report.findings


def test_each_field_goes_when_its_time_is_over_an_answer_although_consent_goes_on(story: Town) -> None:
    """SCENARIOS section 0: what a law keeps is kept until a time that is said, and no longer."""
    person = ana(story)
    insurer = person.insurer
    due_s = entries(insurer, "acceptance")[0].at_s + 10 * DAY_S
    assert owed(insurer) == {"answers": ("consent", due_s)}
    story.clock.at_s = due_s - 1
    story.settle()
    assert answers_of(insurer) != [""]
    story.clock.at_s = due_s
    story.settle()
    assert answers_of(insurer) == [""]
    (said,) = entries(insurer, "discharge")
    assert said.body == {
        "receipt": person.receipt,
        "field": "answers",
        "claims": [entries(insurer, "acceptance")[0].body["claim"]],
    }
    assert insurer.app().receipts.get(person.receipt).state == "given"
    assert owed(insurer) == {}

    person.gym.app().receipts.withdraw(person.receipt, subject=person.at_gym)
    story.settle()
    ended_s = insurer.app().receipts.get(person.receipt).ended_at
    assert ended_s is not None
    assert owed(insurer) == {
        "evidence": ("legal_claims", ended_s + 30 * DAY_S),
        "accounting": ("legal_obligation", ended_s + 400 * DAY_S),
    }
    story.clock.at_s = ended_s + 30 * DAY_S
    story.settle()
    signed = (RECEIPTS.c.signed, RECEIPTS.c.acknowledgement, RECEIPTS.c.stop, RECEIPTS.c.stop_acknowledgement)
    (row,) = insurer.node.rows(select(RECEIPTS.c.evidence, *signed))
    assert tuple(row) == (None, None, None, None, None)
    assert discharged(insurer) == ["answers", "evidence"]
    assert len(insurer.app().rewards.find(person.at_insurer).rewards) == 1
    assert_books_agree(story)


@pytest.mark.long
def test_at_the_end_an_answer_goes_at_once(story: Town) -> None:
    person = ana(story)
    person.gym.app().receipts.withdraw(person.receipt, subject=person.at_gym)
    story.settle()
    assert answers_of(person.insurer) == [""]
    assert discharged(person.insurer) == ["answers"]
    assert_books_agree(story)


@pytest.mark.long
def test_what_is_kept_for_the_books_is_carried_over_the_year_and_goes_at_its_time(story: Town) -> None:
    person = ana(story)
    insurer = person.insurer
    person.gym.app().receipts.withdraw(person.receipt, subject=person.at_gym)
    story.settle()
    (due_s,) = [due_s for field, (_, due_s) in owed(insurer).items() if field == "accounting"]
    story.go_to("2027-12-31 12:00")
    story.go_to("2028-01-02 12:00")
    story.clock.at_s = due_s
    story.settle()
    paid = [REWARDS.c.subject, REWARDS.c.link, REWARDS.c.receipt, REWARDS.c.claim, REWARDS.c.cause]
    assert [tuple(row) for row in insurer.node.rows(select(*paid))] == [("",) * 5]  # by `cause` it led to her claim
    assert owed(insurer) == {}
    assert discharged(insurer) == ["accounting"]
    logs = [log for company in story.companies.values() for log in sorted(company.folder.glob("log*")) if log.is_dir()]
    report = audit([DirectorySource(str(log)) for log in logs])
    assert report.holds, report.findings


@pytest.mark.long
def test_an_erasure_discharges_what_was_kept_as_evidence_and_says_until_when_the_books_are_kept(story: Town) -> None:
    person = ana(story)
    insurer = person.insurer
    person.gym.app().subjects.erase(person.at_gym)
    story.clock.at_s += SPREAD_S
    story.settle()
    (done,) = person.gym.app().subjects.erasures(person.at_gym).erasures
    (kept,) = [each for each in done.fields if each.fate == "kept"]
    assert (kept.field, kept.ground) == ("accounting", "legal_obligation")
    assert discharged(insurer) == ["answers", "evidence"]
    assert owed(insurer) == {"accounting": ("legal_obligation", kept.until)}
    assert_books_agree(story)


@pytest.mark.long
def test_a_company_that_drops_nothing_is_found_by_its_own_ledger(story: Town) -> None:
    """Somebody has made the insurer's node forget that it owes anything; its ledger has not."""
    person = ana(story)
    insurer = person.insurer
    rows = connect(insurer.databases.node)
    with writing(rows).begin() as connection:
        connection.execute(DUTIES.delete())
    rows.dispose()
    story.clock.at_s = entries(insurer, "acceptance")[0].at_s + 10 * DAY_S + DISCHARGE_WITHIN_S + TIME_SLACK_S + 1
    person.gym.app().receipts.pause(person.receipt, subject=person.at_gym)
    story.settle()
    (finding,) = audit([DirectorySource(str(company.log)) for company in story.companies.values()]).findings
    assert (finding.rule, "insurer.example" in finding.where) == ("P9.overdue", True)


@pytest.mark.long
def test_a_debt_that_could_not_be_discharged_in_time_is_listed_as_overdue(story: Town) -> None:
    person = ana(story)
    insurer = person.insurer
    ((_, due_s),) = owed(insurer).values()

    def listed() -> list[tuple[bool, bool]]:
        return [(each.owed, each.overdue) for each in insurer.app().receipts.duties().duties]

    assert listed() == [(False, False)]
    story.clock.at_s = due_s
    assert listed() == [(True, False)]
    story.clock.at_s = due_s + DISCHARGE_WITHIN_S + 1
    assert listed() == [(True, True)]
    story.settle()
    assert listed() == []


@pytest.mark.long
def test_where_the_program_names_no_field_an_answer_is_dropped_all_the_same_and_nothing_is_logged(
    tmp_path: Path,
) -> None:
    """`retention_days` alone, as version 0.1 had it: a promise that the node keeps, and that no ledger tells of."""
    with town(tmp_path) as story:
        gym, insurer = story.company("gym.example"), story.company("insurer.example")
        agree(story, insurer, gym)
        person = ana(story)
        ((ground, due_s),) = owed(insurer).values()
        assert (ground, due_s) == ("consent", entries(insurer, "acceptance")[0].at_s + 90 * DAY_S)
        story.clock.at_s = due_s
        story.settle()
        assert answers_of(insurer) == [""]
        assert insurer.app().receipts.get(person.receipt).state == "given"
        assert (owed(insurer), discharged(insurer)) == ({}, [])
        assert_books_agree(story)


def stops_and_settles(story: Town) -> Membership:
    """Ana trains in March, and before it is over withdraws, and has settled what she earned."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = consent(link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story), story)
    story.go_to("2027-03-01 10:00")
    person.confirm_membership("2027-03-01 09:00")
    person.train(story, ANA_MARCH)
    story.clock.at_s = at("2027-03-28 12:00")
    gym.app().receipts.withdraw(person.receipt, subject=person.at_gym, earned="settle_earned")
    story.settle()
    return person


@pytest.mark.long
def test_what_is_still_to_come_after_the_end_is_dropped_when_it_came(story: Town) -> None:
    """Ana stops and has what she earned settled: the answer comes after the end, pays, and is not kept."""
    person = stops_and_settles(story)
    insurer = person.insurer
    assert discharged(insurer) == []
    story.go_past_release("2027-04-16 00:00")
    assert len(insurer.app().rewards.find(person.at_insurer).rewards) == 1
    assert answers_of(insurer) == [""]
    assert discharged(insurer) == ["answers"]
    assert_books_agree(story)


@pytest.mark.long
def test_what_is_paid_after_the_accounting_was_discharged_is_paid_and_not_kept(tmp_path: Path) -> None:
    """The terms let it be kept for ten days from the end; what March earned is settled a week later than that."""
    with town(tmp_path) as story:
        agree_to_keep(story, {**ACCOUNTING, "until_days": 10})
        person = stops_and_settles(story)
        insurer = person.insurer
        story.go_to("2027-04-09 12:00")
        assert (discharged(insurer), insurer.node.rows(select(REWARDS))) == (["accounting"], [])

        story.go_past_release("2027-04-16 00:00")

        (reward,) = insurer.node.rows(select(REWARDS))
        assert (reward.state, reward.amount_minor) == ("posted", 2_000)
        assert (reward.subject, reward.link, reward.receipt, reward.claim) == ("", "", "", "")
        assert set(owed(insurer)) <= {"evidence"}
        assert discharged(insurer) == ["accounting", "answers"]
        assert_books_agree(story)
