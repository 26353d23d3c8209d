"""Why an input did not count, in words a customer reads.

Pure. The words of rules and nodes stay the same for programs; these sentences are for people.

Source: DESIGN P14.
"""

_WORDS = {
    "after_close": "came after the period was closed",
    "coverage_too_low": "too few days of the period were told",
    "day_not_enough": "on a day that did not reach what the rule asks of a day",
    "filtered_out": "not of the kind that the rule counts",
    "not_as_required": "not as the rule requires it",
    "not_the_last": "something later of its kind counts instead",
    "not_told": "told as nothing, which this rule takes as not told",
    "other_slot": "about another part of the trip",
    "other_source": "another source was taken for that day, and two are never added",
    "outside_period": "on a day outside of the period",
    "removed": "taken back by its source",
    "repeated": "told twice, and counted once",
    "rewarded_already": "a claim for the same period had been taken before",
    "superseded": "a correction of it counts instead",
    "too_short": "shorter than the rule asks",
    "zone_unknown": "where you lived then was not told, so its day is not known",
}

_NOT_ACTIVE = "_not_active"


def why_not(reason: str) -> str:
    """Return why an input did not count, as half a sentence; an unknown reason is its own word."""
    if reason.endswith(_NOT_ACTIVE):
        return f"your {reason.removesuffix(_NOT_ACTIVE)} was not active"
    return _WORDS.get(reason, reason.replace("_", " "))
