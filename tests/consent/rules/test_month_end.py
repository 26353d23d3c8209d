"""One statement over a table of visits finds the same people, with the same days, as the rule does one by one."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo

import psycopg
import pytest
from bench.month_end import EPOCH, MONTH, RULE, TABLE, Visit, copy_visits, statement
from databases import required_server
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tallystick_consent.rules import VisitDays, dates_of, evaluate
from tallystick_consent.rules.first import Filter
from tallystick_consent.rules.periods import period_named

Connection = psycopg.Connection[tuple[object, ...]]

FIRST_DAY = (dates_of(MONTH)[0] - EPOCH).days
HOUR_S, DAY_S = 3_600, 86_400
PERIOD = period_named(MONTH, rule=RULE, zone=ZoneInfo(RULE.zone))


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    with psycopg.connect(required_server().fresh(None), autocommit=True) as made:
        made.execute(TABLE)
        yield made


@st.composite
def visits(draw: st.DrawFn) -> list[Visit]:
    """Draw visits of a few people, many of them on top of each other and near the month's ends."""
    made = []
    for number in range(draw(st.integers(0, 20))):
        offset_h = draw(st.sampled_from([-5, -4, 0, 9]))
        started_s = (FIRST_DAY + draw(st.sampled_from([-1, 0, 0, 0, 1, 30, 31]))) * DAY_S
        started_s += draw(st.integers(6, 16)) * HOUR_S // 2
        made.append(
            Visit(
                subject=draw(st.integers(0, 1)),
                id=f"{draw(st.sampled_from('aAzZ'))}{number}",
                started_s=started_s,
                ended_s=started_s
                + draw(st.sampled_from([0, 900, 900, 900, 1_799, 1_800, 1_801, 5 * HOUR_S, 22 * HOUR_S])),
                day=(started_s + offset_h * HOUR_S) // DAY_S,
                facility=draw(st.sampled_from(["club-1", "club-2"])),
                source=draw(st.sampled_from(["turnstile", "turnstile", "geofence", "manual"])),
                assurance="operator",
                recorded_s=draw(st.sampled_from([started_s, started_s, PERIOD.close_s - 1, PERIOD.close_s])),
            )
        )
    return made


def rule_with(**changes: object) -> VisitDays:
    """Return the rule with other terms."""
    return VisitDays.model_validate({**dict(RULE), **changes})


rules = st.builds(
    lambda within, least, at_least, where: rule_with(
        merge_within_s=within, day_min_elapsed_s=least, at_least=at_least, where=where
    ),
    within=st.sampled_from([0, 1, 900, 901, 1_800, 8 * HOUR_S]),
    least=st.sampled_from([0, 1, 1_800, HOUR_S]),
    at_least=st.integers(1, 3),
    where=st.sampled_from(
        [
            (),
            RULE.where,
            (*RULE.where, Filter(member="facility", one_of=("club-1",))),
        ]
    ),
)


def visit(minute: int, lasts_s: int, *, number: int) -> Visit:
    """Return a visit that begins some minutes after noon of the month's second day."""
    started_s = (FIRST_DAY + 1) * DAY_S + 17 * HOUR_S + 60 * minute
    return Visit(
        1, f"v{number}", started_s, started_s + lasts_s, FIRST_DAY + 1, "club-1", "turnstile", "operator", started_s
    )


QUARTERS = rule_with(merge_within_s=900, day_min_elapsed_s=1_800, at_least=1, where=())
APART = [visit(0, 900, number=1), visit(30, 900, number=2)]
CLOSE = [visit(0, 900, number=1), visit(29, 900, number=2)]
AT_ONCE = [visit(0, 900, number=1), visit(0, 900, number=2)]
INSIDE = [visit(0, 1_700, number=1), visit(5, 60, number=2), visit(20, 599, number=3)]


@example(made=APART, rule=QUARTERS)
@example(made=CLOSE, rule=QUARTERS)
@example(made=AT_ONCE, rule=QUARTERS)
@example(made=INSIDE, rule=QUARTERS)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=visits(), rule=rules)
def test_one_statement_finds_the_people_that_the_rule_finds(
    connection: Connection, made: list[Visit], rule: VisitDays
) -> None:
    connection.execute("TRUNCATE visit")
    copy_visits(connection, made)
    text, told = statement(rule, PERIOD)
    together = dict(connection.execute(text, told).fetchall())  # type: ignore[arg-type]
    one_by_one = {
        subject: evaluate(rule, [each.event() for each in made if each.subject == subject], period=PERIOD)
        for subject in {each.subject for each in made}
    }
    assert together == {subject: found.figure for subject, found in one_by_one.items() if found.satisfied}


@pytest.mark.parametrize(("made", "earns"), [(APART, False), (CLOSE, True), (AT_ONCE, False), (INSIDE, False)])
def test_the_examples_are_at_the_edge(made: list[Visit], earns: bool) -> None:
    assert evaluate(QUARTERS, [each.event() for each in made], period=PERIOD).satisfied == earns


def test_a_rule_that_asks_for_more_than_visits_is_no_such_statement() -> None:
    with pytest.raises(ValueError, match="membership"):
        statement(rule_with(requires_active="membership"), PERIOD)
