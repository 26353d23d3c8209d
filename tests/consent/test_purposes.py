"""Purposes: a receipt for one permits it and what stands below it, never what stands above or beside it."""

import pytest

from tallystick_consent.receipts.purposes import COVERED_BY


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("dpv:PersonalisedBenefits", "dpv:PersonalisedBenefits"),
        ("dpv:PersonalisedBenefits", "dpv:ServicePersonalisation"),
        ("dpv:PersonalisedBenefits", "dpv:ServiceProvision"),
        ("dpv:PersonalisedBenefits", "dpv:Personalisation"),
        ("dpv:DirectMarketing", "dpv:Marketing"),
    ],
)
def test_a_broader_purpose_covers_a_narrower_one(asked: str, given: str) -> None:
    assert given in COVERED_BY[asked]


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("dpv:Marketing", "dpv:DirectMarketing"),
        ("dpv:ServiceProvision", "dpv:PersonalisedBenefits"),
        ("dpv:Personalisation", "dpv:ServiceProvision"),
        ("dpv:DirectMarketing", "dpv:PersonalisedBenefits"),
    ],
)
def test_a_narrower_or_other_purpose_covers_nothing_else(asked: str, given: str) -> None:
    assert given not in COVERED_BY[asked]


def test_no_two_purposes_cover_each_other() -> None:
    for asked, above in COVERED_BY.items():
        assert asked in above
        assert not any(asked in COVERED_BY[other] for other in above - {asked})
