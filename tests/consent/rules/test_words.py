"""Every reason that a rule gives has words."""

import re

from places import ROOT

from tallystick_consent.rules import why_not

RULES = ROOT / "consent" / "tallystick_consent" / "rules"


def reasons_in_the_code() -> set[str]:
    """Return every word that a rule leaves inputs out by, read from the code itself."""
    code = "".join((RULES / name).read_text() for name in ("days.py", "evaluate.py"))
    return {
        word for line in code.splitlines() if "left)" in line for word in re.findall(r'"([a-z]+(?:_[a-z]+)*)"', line)
    }


def test_every_reason_has_words_of_its_own() -> None:
    reasons = reasons_in_the_code()
    assert {"after_close", "coverage_too_low", "other_source", "removed"} <= reasons
    assert [each for each in sorted(reasons) if why_not(each) == each.replace("_", " ") and each != "removed"] == []
    assert len({why_not(each) for each in reasons}) == len(reasons)


def test_what_is_required_is_named() -> None:
    assert why_not("membership_not_active") == "your membership was not active"
