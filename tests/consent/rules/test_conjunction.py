"""Conjunctions: what may be written, and that they never go round in a circle."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rulebook import EXAMPLES, conjunction_named

from tallystick_consent.rules import Accepted, Conjunction, RuleRejected, conclude, parse_conjunction, require_sound
from tallystick_consent.rules.conjunction import CONJUNCTIONS_MAX, DEPTH_MAX

DOCUMENT: dict[str, Any] = json.loads((EXAMPLES / "conjunctions" / "headline-rate.json").read_text())
CLAIM = DOCUMENT["cases"][1]["all_of"][0]


def table(name: str, *needs: dict[str, Any]) -> Conjunction:
    needed = list(needs) or [CLAIM]
    return parse_conjunction(
        {"conjunction": name, "version": 1, "cases": [{"outcome": "yes", "all_of": needed}], "otherwise": "no"}
    )


def on(name: str, *outcomes: str) -> dict[str, Any]:
    return {"conjunction": name, "outcomes": list(outcomes) or ["yes"]}


def test_a_conjunction_reads_back() -> None:
    found = conjunction_named("headline-rate")
    assert parse_conjunction(found.model_dump(mode="json")) == found


@pytest.mark.parametrize(
    "need",
    [
        {},
        {"program": "steps-tier"},
        {**CLAIM, "band_at_least": 0},
        {**CLAIM, "issuers": []},
        {**CLAIM, "script": "1"},
        {"fact": "age_years"},
        {"fact": "age_years", "at_least": "65"},
        {"fact": "age_years", "at_least": 66, "at_most": 65},
        {"conjunction": "b", "outcomes": []},
        "steps-tier",
    ],
)
def test_a_need_has_one_of_three_shapes(need: Any) -> None:
    with pytest.raises(RuleRejected, match="form"):
        table("a", need)


def test_a_conjunction_that_builds_on_itself_is_refused() -> None:
    with pytest.raises(RuleRejected, match="circle") as refused:
        require_sound([table("a", on("a"))])
    assert refused.value.rules == ("a",)


def test_a_circle_of_three_is_refused_and_its_members_named() -> None:
    with pytest.raises(RuleRejected, match="circle") as refused:
        require_sound([table("first", on("a")), table("a", on("b")), table("b", on("c")), table("c", on("a"))])
    assert set(refused.value.rules) == {"a", "b", "c"}


def test_a_chain_has_a_bound() -> None:
    def chain(length: int) -> list[Conjunction]:
        return [table("c-0"), *(table(f"c-{at}", on(f"c-{at - 1}")) for at in range(1, length))]

    require_sound(chain(DEPTH_MAX))
    require_sound(chain(DEPTH_MAX)[::-1])
    for order in (chain(DEPTH_MAX + 1), chain(DEPTH_MAX + 1)[::-1]):
        with pytest.raises(RuleRejected, match=f"More than {DEPTH_MAX}"):
            require_sound(order)


def test_many_that_share_what_they_build_on_are_looked_at_once() -> None:
    """Seven levels of sixteen needs each: walked naively, 16^7 steps."""
    levels = [table("l-0")]
    for level in range(1, DEPTH_MAX):
        case = {"outcome": "yes", "all_of": [on(f"l-{level - 1}")] * 8}
        levels.append(
            parse_conjunction({"conjunction": f"l-{level}", "version": 1, "cases": [case] * 16, "otherwise": "no"})
        )
    known = require_sound(levels)
    assert conclude(f"l-{DEPTH_MAX - 1}", known, accepted=[], facts={}, period="2027-03").outcome == "no"


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ([table("a", on("nobody"))], "none of"),
        ([table("a", on("b", "maybe")), table("b")], "none of"),
        ([table("a"), table("a")], "one name"),
        ([table(f"a-{at}") for at in range(CONJUNCTIONS_MAX + 1)], "more than"),
    ],
)
def test_conjunctions_that_do_not_fit_together_are_refused(tables: list[Conjunction], problem: str) -> None:
    with pytest.raises(RuleRejected, match=problem):
        require_sound(tables)


def test_one_builds_on_another() -> None:
    known = require_sound([table("a", on("b"), {"fact": "age_years", "at_least": 18}), table("b")])
    claim = Accepted("clm", "steps-tier", 1, "track.example", "2027-03", 4)
    found = conclude("a", known, accepted=[claim], facts={"age_years": 18}, period="2027-03")
    assert (found.outcome, found.claims) == ("yes", ("clm",))
    assert conclude("a", known, accepted=[claim], facts={"age_years": 17}, period="2027-03").outcome == "no"


@pytest.mark.parametrize(("version", "outcome"), [(1, "no"), (2, "yes"), (3, "yes")])
def test_an_older_version_of_a_program_may_not_be_enough(version: int, outcome: str) -> None:
    known = require_sound([table("a", {**CLAIM, "version_at_least": 2})])
    claim = Accepted("clm", "steps-tier", version, "track.example", "2027-03", 4)
    assert conclude("a", known, accepted=[claim], facts={}, period="2027-03").outcome == outcome


issuers = st.sampled_from(["a.example", "b.example", "c.example"])


@settings(max_examples=40, deadline=None)
@given(
    serving=st.lists(st.sets(issuers, min_size=1), min_size=1, max_size=4),
    held=st.sets(issuers),
    data=st.data(),
)
def test_different_issuers_are_found_wherever_there_are_any(
    serving: list[set[str]], held: set[str], data: st.DataObject
) -> None:
    """Against trying every choice."""
    needs = [{"program": f"p-{at}", "issuers": sorted(each)} for at, each in enumerate(serving)]
    asked = parse_conjunction(
        {
            "conjunction": "a",
            "version": 1,
            "cases": [{"outcome": "yes", "all_of": needs, "by_different_issuers": True}],
            "otherwise": "no",
        }
    )
    claims = [
        Accepted(f"clm {at} {issuer}", f"p-{at}", 1, issuer, "2027-03")
        for at in range(len(serving))
        for issuer in sorted(held)
    ]
    known = require_sound([asked])
    found = conclude("a", known, accepted=data.draw(st.permutations(claims)), facts={}, period="2027-03")
    assert (found.outcome == "yes") == _can_choose([each & held for each in serving], frozenset())


def _can_choose(left: list[set[str]], taken: frozenset[str]) -> bool:
    if not left:
        return True
    return any(_can_choose(left[1:], taken | {each}) for each in left[0] - taken)
