"""The first form of a rule is a short way to write one of the language, and answers as it always did."""

import json
import re
from datetime import UTC, datetime, timedelta
from itertools import product

from first_rules import first_evaluation
from fitness import NEW_YORK, PROGRAM_DOCUMENT, RULE_DOCUMENT, march, membership, rule, visit_between
from hypothesis import given, settings
from hypothesis import strategies as st
from places import ROOT

from tallystick_consent.events import JourneyEvent
from tallystick_consent.program import parse_program
from tallystick_consent.rules import Rule, VisitDays, evaluate, period_named, privacy_cost, read_statement, statement_of

MARCH = period_named("2027-03", rule=rule(), zone=NEW_YORK)

visits = st.builds(
    lambda minute, length_s, source, assurance, facility: visit_between(
        (datetime(2027, 2, 28, 12, tzinfo=UTC) + timedelta(minutes=minute)).isoformat(),
        (datetime(2027, 2, 28, 12, tzinfo=UTC) + timedelta(minutes=minute, seconds=length_s)).isoformat(),
        source=source,
        assurance=assurance,
        facility=facility,
        name=f"evt {minute} {length_s} {source} {assurance} {facility}",
    ),
    minute=st.one_of(st.integers(0, 4 * 24 * 60), st.integers(30 * 24 * 60, 33 * 24 * 60)),
    length_s=st.integers(0, 7_200),
    source=st.sampled_from(["turnstile", "geofence"]),
    assurance=st.sampled_from(["operator", "device"]),
    facility=st.sampled_from(["club-7", "club-8"]),
)
words = st.builds(
    lambda word, day: membership(word, f"2027-03-{day:02}T09:00:00-05:00"),
    word=st.sampled_from(["activated", "ended"]),
    day=st.integers(1, 31),
)
RULES = [
    rule(at_least=at_least, merge_within_s=merge, day_min_elapsed_s=minimum, where=where, requires_active=standing)
    for at_least, merge, minimum, where, standing in product(
        (1, 3), (0, 28_800), (0, 1_800), ([], [{"member": "facility", "one_of": ["club-7", ""]}]), (None, "membership")
    )
]


@settings(max_examples=150, deadline=None)
@given(
    events=st.lists(visits, max_size=10, unique_by=lambda each: each.id),
    told=st.lists(words, max_size=3, unique_by=lambda each: each.id),
    asked=st.sampled_from(RULES),
)
def test_the_language_gives_the_answer_that_was_always_given(
    events: list[JourneyEvent], told: list[JourneyEvent], asked: VisitDays
) -> None:
    for each in RULES if asked is RULES[0] else [asked]:
        assert evaluate(each, events + told, period=MARCH) == first_evaluation(each, events + told, period=MARCH)


def test_anas_month_is_answered_as_it_always_was() -> None:
    for asked in RULES:
        assert evaluate(asked, march(), period=MARCH) == first_evaluation(asked, march(), period=MARCH)


def test_the_short_form_says_what_the_long_form_says() -> None:
    short = rule(requires_active="membership")
    long = Rule.model_validate_json(short.spelled_out().model_dump_json())
    active = membership("activated", "2027-01-01T00:00:00-05:00")
    assert evaluate(long, [*march(), active], period=MARCH) == evaluate(short, [*march(), active], period=MARCH)
    assert long.data_classes == short.data_classes
    assert long.statements("2027-03") == (short.statement("2027-03"),)
    assert privacy_cost(long) == privacy_cost(short)
    assert period_named("2027-03", rule=long, zone=NEW_YORK) == MARCH


def test_the_page_about_rules_explains_the_program_of_the_tutorial() -> None:
    """Each member of the short form is in its table, and the long form beside it is the same rule."""
    page = (ROOT / "docs" / "rules.md").read_text().partition("### The short form")[2].partition("\n## ")[0]
    program = parse_program(json.loads((ROOT / "docs" / "examples" / "ins-fit.json").read_text()))
    assert isinstance(program.rule, VisitDays)
    table = "".join(row.split("|")[1] for row in page.splitlines() if row.startswith("| `"))
    assert set(re.findall(r"`(\w+)`", table)) == set(VisitDays.model_fields)
    long = Rule.model_validate_json(page.partition("```json\n")[2].partition("```")[0])
    assert long == program.rule.spelled_out()
    active = membership("activated", "2027-01-01T00:00:00-05:00")
    for events in ([], march(), [*march(), active], [*march()[:11], active]):
        assert evaluate(long, events, period=MARCH) == first_evaluation(program.rule, events, period=MARCH)


def test_a_claims_words_are_those_of_the_first_form() -> None:
    found = evaluate(rule(), march(), period=MARCH)
    statement = statement_of(rule(), "2027-03", found)
    assert statement == "visit.qualified_days(2027-03) >= 12"
    assert read_statement(rule(), "2027-03", statement).band is None


def test_a_document_that_names_no_language_is_of_the_first_form() -> None:
    program = parse_program(dict(PROGRAM_DOCUMENT))
    assert program.document()["rule"] == dict(RULE_DOCUMENT)
