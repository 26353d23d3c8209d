"""A rule's cost in words a customer reads: made from the rule, the same each time."""

import pytest
from fitness import rule
from rulebook import EXAMPLES, document, measured, parsed, rule_named

from tallystick_consent.rules import privacy_cost


def test_the_gym_rule_reads_like_this() -> None:
    cost = privacy_cost(rule(requires_active="membership", where=[{"member": "source", "one_of": ["turnstile"]}]))
    assert cost.rung == "predicate"
    counted = "the number of days with a visit of at least 30 minutes is at least 12"
    assert cost.learns == (
        f"They learn whether, in a calendar month, {counted}.",
        "An answer also tells that your membership is active when the month ends.",
        "Only visits seen by turnstile count.",
    )
    assert cost.silence == (
        "If no answer comes, they can take it that it is not so, that nothing was recorded, or that you stopped."
    )
    assert cost.hidden == "Not told: single visits; days and times; exact figures."


def test_the_savings_tier_reads_like_this() -> None:
    cost = privacy_cost(rule_named("steps-tier"))
    assert cost.rung == "band"
    assert cost.learns[0] == (
        "They learn in which of 5 ranges your average steps a day lies in a calendar month: below 5,000; "
        "5,000 to below 7,500; 7,500 to below 10,000; 10,000 to below 12,500; 12,500 or more."
    )
    assert cost.silence == (
        "If no answer comes, they can take it that your average steps a day is below 5,000, that fewer than 28 days "
        "were recorded, that nothing was recorded, or that you stopped."
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("steps-each-day", "Each answer is about one day, so all of them together tell on which days."),
        ("steps-streak", "the longest run of days without at least 10,000 steps is at most 2"),
        ("average-balance", "your average balance a day is at least 5,000.00 USD"),
        ("card-purchases", "Only bank lines with the category card count, so an answer tells that there were some."),
        ("books-reconciled", "the number of lines without a match in your last reconciliation is exactly 0"),
        ("books-reconciled", "An answer also tells that it reaches the last day of it."),
        ("rent-of-the-year", "They learn the total of these bank lines in a calendar year: the exact figure."),
        ("paid-member", "They learn whether your membership is active when the month begins."),
        ("ten-stamps", "the number of times that 10.00 USD is full in a purchase, over all purchases, is at least 10"),
        ("late-arrival", "the largest delay is at least 3 hours"),
        ("late-arrival", "There is an answer for each segment of the trip, with its number."),
        ("arrives-at-night", "the time you are expected to arrive is at least 23:00"),
        ("gold-or-better", "your status is gold or platinum"),
        ("guest-tonight", "They learn whether your stay is going on when the day ends."),
        ("hotel-miles", "the price of your stay lies in the days you are shown: below 200.00 USD"),
    ],
)
def test_each_journeys_rule_says_what_it_tells(name: str, words: str) -> None:
    assert any(words in each for each in privacy_cost(rule_named(name)).learns)


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("rules/*.json")))
def test_the_words_are_sentences_and_follow_from_the_rule_alone(name: str) -> None:
    cost = privacy_cost(rule_named(name))
    assert cost == privacy_cost(parsed(document(name)))
    for sentence in (*cost.learns, cost.silence, cost.hidden):
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert "_" not in sentence


def test_another_threshold_is_another_sentence() -> None:
    low, high = (privacy_cost(measured("steps-ten-thousand", outcome={"at_least": each})) for each in (9_000, 9_001))
    assert low.learns != high.learns


def test_a_revealed_figure_is_not_said_to_be_hidden() -> None:
    assert "exact figures" in privacy_cost(rule_named("steps-tier")).hidden
    assert "exact figures" not in privacy_cost(rule_named("rent-of-the-year")).hidden
