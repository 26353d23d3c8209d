"""What a rule may say: shapes are closed, bounds can be reached, and what cannot be is refused when it is read."""

import json
from typing import Any

import pytest
from fitness import PROGRAM_DOCUMENT
from places import ROOT
from pydantic import ValidationError
from rulebook import document, over, parsed

from tallystick_consent.errors import ProgramRejected
from tallystick_consent.program import Program, parse_program
from tallystick_consent.rules.comparing import BANDS_MAX

TIER = document("steps-tier")
MEASURE: dict[str, Any] = TIER["measures"][0]
STREAK: dict[str, Any] = document("steps-streak")["measures"][0]
VISITS: dict[str, Any] = {
    "measure": "qualified_days",
    "events": "visit.ended",
    "basis": "facility_local",
    "sessions": {"merge_within_s": 28_800, "elapsed_at_least_s": 1_800},
    "day": {"take": "count"},
    "day_at_least": 1,
    "outcome": {"at_least": 12},
}


def refused(problem: str, measure: dict[str, Any] | None = None, **changes: Any) -> None:
    with pytest.raises(ValidationError, match=problem):
        parsed({**TIER, **({} if measure is None else {"measures": [measure]}), **changes})


def day(**changes: Any) -> dict[str, Any]:
    return {**MEASURE["day"], **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"language": 3},
        {"language": "2"},
        {"script": "1"},
        {"slot_by": "steps"},
        {"period": {**TIER["period"], "span": "decade"}},
        {"period": {**TIER["period"], "zone": "../../etc/passwd"}},
        {"period": {**TIER["period"], "close_after_days": -1}},
        {"period": {**TIER["period"], "close_after_days": 367}},
        {"late": {"evidence": "maybe"}},
    ],
)
def test_a_rule_has_bounds(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parsed({**TIER, **changes})


@pytest.mark.parametrize("name", sorted(MEASURE))
def test_no_member_of_a_measure_may_be_missing_or_of_another_type(name: str) -> None:
    if name != "where":
        refused("validation error", {each: MEASURE[each] for each in MEASURE if each != name})
    refused("validation error", {**MEASURE, name: True})


@pytest.mark.parametrize(
    ("problem", "changes"),
    [
        # Nothing is divided by nothing.
        ("greater than or equal to 1", {"coverage_at_least": 0}),
        ("never be covered", {"coverage_at_least": 29}),
        # Bands: neither a gap nor two for one figure can be written; what can is out of order.
        ("above the one before", {"outcome": {"bands": [5_000, 5_000], "sent_from": 1}}),
        ("above the one before", {"outcome": {"bands": [7_500, 5_000], "sent_from": 1}}),
        ("at least 1 item", {"outcome": {"bands": [], "sent_from": 1}}),
        ("at most 15", {"outcome": {"bands": list(range(1, BANDS_MAX + 1)), "sent_from": 1}}),
        ("no band would ever be sent", {"outcome": {"bands": [5_000], "sent_from": 3}}),
        # Thresholds that nobody reaches, or everybody.
        ("where no figure can", {"outcome": {"at_least": 60_001}}),
        ("where no figure can", {"outcome": {"bands": [5_000, 60_001], "sent_from": 1}}),
        ("where no figure can", {"outcome": {"at_most": 60_000}}),
        ("where no figure can", {"outcome": {"equals": 60_001}}),
        ("always reached", {"outcome": {"at_least": 0}}),
        # Members that such events do not have.
        ("do not have", {"where": [{"member": "facility", "one_of": ["x"]}]}),
        ("do not have", {"where": [{"member": "source", "at_least": 1}]}),
        ("do not have", {"where": [{"member": "steps", "one_of": ["1"]}]}),
        ("do not have", {"where": [{"member": "steps", "on_or_after": "first_day"}]}),
        ("a filter has a bound", {"where": [{"member": "steps"}]}),
        ("nothing between them", {"where": [{"member": "steps", "at_least": 2, "at_most": 1}]}),
        ("at most 8", {"where": [{"member": "steps", "at_least": 1}] * 9}),
        ("no such figure", {"day": day(of="amount")}),
        ("a count is of nothing", {"day": day(take="count")}),
        ("a count is of nothing", {"day": day(of=None)}),
        ("named once", {"day": day(sources=["watch", "watch"])}),
        ("name them in order", {"day": day(sources=None)}),
        ("not say what was entered by hand", {"day": day(of="manual_steps")}),
        # Events, days and words that do not go together.
        ("names a type of event", {"events": "steps.counted"}),
        ("names a type of event", {"events": "steps.corrected"}),
        ("no day of that basis", {"basis": "posting_date"}),
        ("no day of that basis", {"basis": "departure_either"}),
        ("a figure is no word", {"outcome": {"one_of": ["many"]}}),
        ("Field required", {"outcome": {"above": 5_000}}),
        ("Extra inputs", {"outcome": {"at_least": 5_000, "at_most": 6_000}}),
    ],
)
def test_a_measure_that_cannot_be_is_refused(problem: str, changes: dict[str, Any]) -> None:
    refused(problem, {**MEASURE, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": {"at_least": 60_000}},
        {"outcome": {"at_most": 59_999}},
        {"coverage_at_least": 28},
        {"coverage_at_least": 1},
        {"outcome": {"bands": list(range(1, BANDS_MAX)), "sent_from": BANDS_MAX}},
    ],
)
def test_a_measure_may_stand_at_its_bounds(changes: dict[str, Any]) -> None:
    parsed({**TIER, "measures": [{**MEASURE, **changes}]})


@pytest.mark.parametrize(
    ("problem", "changes"),
    [
        ("where no figure can", {"outcome": {"at_least": 32}}),
        ("no day could ever qualify", {"day": {**VISITS["day"], "cap": 1}, "day_at_least": 2}),
        ("a length and nothing else", {"day": {"take": "sum", "of": "amount"}}),
        ("no sources|not told by several", {"day": {"take": "count", "sources": ["turnstile"]}, "sessions": None}),
        ("nothing to divide|no figure to divide", {"day": {"take": "count", "per_full": 2}}),
    ],
)
def test_a_count_of_days_that_cannot_be_is_refused(problem: str, changes: dict[str, Any]) -> None:
    refused(problem, {**VISITS, **changes}, period={**TIER["period"], "of_home": False})


def test_what_has_no_length_has_no_sessions() -> None:
    shop = document("regular-guest")["measures"][0]
    refused("no length", {**shop, "sessions": {"merge_within_s": 0, "elapsed_at_least_s": 0}})


def test_a_run_of_days_may_reach_over_the_periods_edge_and_no_further() -> None:
    parsed({**TIER, "measures": [{**STREAK, "measure": "longest_streak", "outcome": {"at_least": 33}}]})
    refused("where no figure can", {**STREAK, "measure": "longest_streak", "outcome": {"at_least": 34}})


@pytest.mark.parametrize(
    ("problem", "changes"),
    [
        ("measures something", {"measures": []}),
        ("at most one measure tells more than yes", {"measures": [MEASURE, {**MEASURE, "where": []}]}),
        ("at most 4", {"measures": [{**MEASURE, "outcome": {"at_least": each}} for each in range(1, 6)]}),
        ("events that name it", {"slot_by": "segment"}),
        (
            "events that name it",
            {
                "slot_by": "segment",
                "measures": [],
                "requires": [{"on": ["stay.started"], "off": ["stay.ended"], "at": "period_end"}],
            },
        ),
        ("how long it may be", {"period": {**TIER["period"], "span": "window"}}),
        ("how long it may be", {"period": {**TIER["period"], "window_days_max": 9}}),
        ("changes nothing", {"late": {"evidence": "refused", "up_within_days": 60}}),
        ("changes nothing", {"late": {"evidence": "refused", "down": "reversed"}}),
        (
            "says that something holds",
            {"requires": [{"on": ["stay.started"], "off": ["stay.started"], "at": "period_end"}]},
        ),
        ("one known class", {"requires": [{"on": ["stay.started"], "off": ["membership.ended"], "at": "period_end"}]}),
        ("one known class", {"requires": [{"on": ["sleep.started"], "off": [], "at": "period_end"}]}),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(problem: str, changes: dict[str, Any]) -> None:
    refused(problem, **changes)


def test_an_answer_fits_into_a_claim() -> None:
    window = {**TIER["period"], "span": "window", "window_days_max": 60}
    wide = [{**STREAK, "measure": "longest_streak", "outcome": {"at_least": each}} for each in range(11, 15)]
    parsed({**TIER, "measures": wide})
    parsed({**TIER, "measures": wide[:3], "period": window})
    refused("too long for a claim", measures=wide, period=window)


def test_the_rule_in_the_documentation_is_one() -> None:
    page = (ROOT / "docs" / "rules.md").read_text()
    parsed(json.loads(page.split("```json\n")[1].split("```")[0]))


# Programs


def program(rule: str, **changes: Any) -> Program:
    asked = document(rule)
    return parse_program({**PROGRAM_DOCUMENT, "rule": asked, "data_classes": ["home", "steps", "line"], **changes})


def test_a_rule_that_asks_for_more_than_its_program_is_refused() -> None:
    program("steps-tier", rung="band")
    with pytest.raises(ProgramRejected):
        program("steps-tier", rung="predicate")
    program("rent-of-the-year", rung="aggregate")
    with pytest.raises(ProgramRejected):
        program("rent-of-the-year", rung="band")
    with pytest.raises(ProgramRejected):
        program("steps-tier", rung="band", data_classes=["line"])


def test_a_refusal_names_the_place_in_the_rule() -> None:
    asked = {**TIER, "measures": [{**MEASURE, "coverage_at_least": 0}]}
    with pytest.raises(ProgramRejected, match=r"/rule/.*coverage_at_least"):
        parse_program({**PROGRAM_DOCUMENT, "rule": asked, "data_classes": ["steps"], "rung": "band"})


def test_a_rule_reads_what_can_still_change_up_to_the_close() -> None:
    asked = program("steps-tier", rung="band")
    march = over(asked.rule.spelled_out(), "2027-03")
    question = asked.ask(march, issuer="gym.example")
    assert question.data_classes == {"steps"}
    assert question.events_until_s == march.close_s
    where_she_lives = asked.required_ask(march, issuer="gym.example")
    assert where_she_lives is not None
    assert (where_she_lives.data_classes, where_she_lives.events_from_s) == ({"home"}, 0)
    by_visits = parse_program({**PROGRAM_DOCUMENT, "rule": {**PROGRAM_DOCUMENT["rule"], "requires_active": None}})
    assert by_visits.required_ask(over(by_visits.rule.spelled_out(), "2027-03"), issuer="gym.example") is None
