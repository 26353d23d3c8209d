"""A question about anybody is answered alike: status, body, headers, ledger and log lines (P11).

How long it takes is measured by `make privacy`, never here.
"""

import http.client
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from rulebook import document
from sqlalchemy import select
from town import consent, fitness_program, link, town

from privacy.asks import GROUPS, PERIOD, Asked, Scene, post, scene, shapes
from tallystick import wire
from tallystick_node.flows.claims import decisions, why
from tallystick_node.storage.tables import ASKS, DECISIONS, HEADS, LINKS, RECEIPTS

KINDS = [kind for kinds in GROUPS.values() for kind in kinds]


@pytest.fixture(scope="module")
def scene_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One link of each kind."""
    with scene(tmp_path_factory.mktemp("asks"), people=1) as made:
        yield made


def asked(of: Scene, question: Mapping[str, object]) -> Asked:
    """Ask the gym once, and let it decide."""
    connection = http.client.HTTPConnection("127.0.0.1", of.gym.port, timeout=30)
    try:
        answer = post(of, connection, "", question)
    finally:
        connection.close()
    of.story.settle()
    assert of.gym.node.row(select(ASKS)) is None, "the gym has decided"
    return answer


def about(of: Scene, kind: str, **changes: object) -> dict[str, object]:
    """Return a question about a link of this kind."""
    return {"link": of.links[kind][0], "program": "ins-fit", "version": 1, "period": PERIOD, **changes}


def ledger_sizes(of: Scene) -> list[int]:
    """Return how long the gym's logs are."""
    return [row.size for row in of.gym.node.rows(select(HEADS.c.size))]


def test_a_question_about_anybody_is_answered_alike(scene_of_all: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="tallystick_node")
    before = ledger_sizes(scene_of_all)
    answers = [asked(scene_of_all, about(scene_of_all, kind)) for kind in KINDS]
    ((status, body, _),) = shapes(answers)
    assert (status, body) == (202, b'{"status":"accepted"}')
    assert ledger_sizes(scene_of_all) == before
    assert caplog.messages == []


def test_only_the_subject_reads_what_was_decided_also_once_the_receipt_has_ended(scene_of_all: Scene) -> None:
    for kind in KINDS:
        asked(scene_of_all, about(scene_of_all, kind, period="2027-02"))
    decided = {row.subject for row in scene_of_all.gym.node.rows(select(DECISIONS.c.subject))}
    assert decided == {"undecided-0", "refused-0", "withdrawn-0"}
    (mine,) = refusals(scene_of_all, "withdrawn-0", "2027-02")
    assert mine.partner == "insurer.example"
    assert "receipt_withdrawn" in [each["code"] for each in mine.reasons]


def refusals(of: Scene, subject: str, *periods: str) -> list[wire.Decision]:
    """Return what was refused of a person, of these periods."""
    found = of.gym.app().decisions.find(subject).decisions
    return [each for each in found if each.outcome == "refused" and each.period in periods]


@pytest.mark.parametrize(
    ("kind", "bound"),
    [("undecided", "REFUSALS_MAX"), ("withdrawn", "REFUSALS_AFTER_END_MAX")],
    ids=["live", "ended"],
)
def test_a_partner_that_asks_and_asks_adds_little_to_what_is_kept_of_her(
    scene_of_all: Scene, monkeypatch: pytest.MonkeyPatch, kind: str, bound: str
) -> None:
    of, subject = scene_of_all, f"{kind}-0"
    for _ in range(2):
        of.story.clock.at_s += 60
        asked(of, about(of, kind, period="2026-11"))
    (again,) = refusals(of, subject, "2026-11")
    assert (again.asked_count, again.decided_at) == (2, of.story.clock.at_s)

    kept = of.gym.app().decisions.find(subject).decisions
    monkeypatch.setattr(decisions, bound, len(kept))
    for period in ("2026-10", "2026-09", "2026-09"):
        asked(of, about(of, kind, period=period))
    asked(of, about(of, kind, period="2026-11"))
    *before, many = of.gym.app().decisions.find(subject).decisions
    assert len(before) == len(kept)
    assert refusals(of, subject, "2026-11")[0].asked_count == 3
    assert (many.period, many.asked_count, [each["code"] for each in many.reasons]) == ("2026-09", 3, ["many"])

    monkeypatch.setattr(why, "SHOWN_MAX", 1)
    explained = of.gym.app().decisions.why(subject)
    assert [(each.period, each.asked_count) for each in explained.explanations] == [("2026-09", 3)]
    assert explained.older_count == len(kept)


@pytest.mark.parametrize(
    "changes",
    [
        {"period": "2027-13"},
        {"period": "8999-12"},
        {"program": "no-such-program"},
        {"version": 99},
        {"link": "x"},
        {"link": None},
        {"more": "than a question"},
    ],
    ids=str,
)
def test_a_question_that_makes_no_sense_gets_the_same_answer(scene_of_all: Scene, changes: dict[str, object]) -> None:
    told = [asked(scene_of_all, about(scene_of_all, "permitted"))]
    told += [asked(scene_of_all, {**about(scene_of_all, kind), **changes}) for kind in ("permitted", "unknown")]
    assert len(shapes(told)) == 1


def test_a_question_about_no_period_of_the_program_holds_up_no_other(tmp_path: Path) -> None:
    """A month of a program that closes every week: nothing to decide, and nothing that a later question waits for."""
    weekly = {**fitness_program(), "rule": {**document("steps-tier"), "late": {"evidence": "refused"}}}
    weekly |= {"rung": "band", "data_classes": ["steps"]}
    measure = {**weekly["rule"]["measures"][0], "basis": "facility_local", "coverage_at_least": 5}
    period = {**weekly["rule"]["period"], "span": "iso_week", "of_home": False}
    weekly["rule"] |= {"measures": [measure], "period": period}
    with town(tmp_path) as story:
        gym, insurer = story.company("gym.example"), story.company("insurer.example")
        insurer.app().programs.publish(weekly)
        story.settle()
        gym.app().programs.accept("ins-fit", 1)
        story.settle()
        person = consent(link(gym, insurer, at_gym="ana", at_insurer="ana", town=story), story)
        of = Scene(story, gym, insurer, {"permitted": [person.link]})
        assert asked(of, about(of, "permitted")).status == 202


def test_who_is_erased_is_asked_about_in_vain(scene_of_all: Scene) -> None:
    """Their links are not erased in the ledger yet, since that is spread over a day; nothing is kept of them again."""
    of, gym = scene_of_all, scene_of_all.gym
    for kind in ("permitted", "withdrawn"):
        asked(of, about(of, kind, period="2026-08"))
        assert refusals(of, f"{kind}-0", "2026-08")
        gym.app().subjects.erase(f"{kind}-0")
        asked(of, about(of, kind, period="2026-12"))
        links = gym.node.rows(select(LINKS.c.subject).where(LINKS.c.id == of.links[kind][0]))
        assert [row.subject for row in links] == [""]
        receipts = select(RECEIPTS.c.id).where(RECEIPTS.c.link == of.links[kind][0])
        assert gym.node.rows(select(DECISIONS).where(DECISIONS.c.receipt.in_(receipts))) == []
