"""Two partners that share no link pool all that they saw of a gym's customers, and match them no better than chance.

Here with few people: laws that hold for any number, and a matcher that finds what leaks. `make privacy` measures a
thousand.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import pytest

from privacy.matching import match, texts_of
from privacy.month import BANK, CALLS, INSURER, Pooled, Sight, live

pytestmark = pytest.mark.long

FEW, MANY = 10, 50
CLAIM = "</peer/v1/claims"
HITS_MAX = 6
"""Of half of `MANY`: chance names one right, and as many as seven once in ten thousand times."""


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> Pooled:
    """A month of few people, and what the two partners saw of it."""
    return live(tmp_path_factory.mktemp("month"), people=FEW, seed="P6")


def claim_of(sights: list[Sight]) -> Sight:
    """Return the exchange in which a claim came."""
    (claim,) = (each for each in sights if each.path == CLAIM)
    return claim


def in_order(pooled: Pooled, host: str, by: Callable[[Sight], int]) -> list[int]:
    """Return people in the order of something about their claims at a partner."""
    found = {person: by(claim_of(sights)) for person, sights in pooled.sights[host].items()}
    return sorted(found, key=found.__getitem__)


def came(sight: Sight) -> int:
    """Return how many exchanges the partner had seen before."""
    return sight.order


def index(sight: Sight) -> int:
    """Return the place in the gym's log that comes with a claim."""
    return int(sight.seen["request"]["proof"]["index"])


def leaking(pooled: Pooled, leak: Callable[[int, Sight], Sight]) -> Pooled:
    """Return the same month, had the bank seen one thing more; `leak` gets the person and how her claim came."""

    def changed(person: int, sights: list[Sight]) -> list[Sight]:
        return [leak(person, each) if each.path == CLAIM else each for each in sights]

    bank = {person: changed(person, sights) for person, sights in pooled.sights[BANK].items()}
    return replace(pooled, sights={**pooled.sights, BANK: bank})


def test_both_partners_saw_every_person_link_consent_and_claim(pooled: Pooled) -> None:
    for host in (INSURER, BANK):
        assert sorted(pooled.sights[host]) == list(range(FEW))
        for sights in pooled.sights[host].values():
            assert sorted(each.path for each in sights) == sorted(CALLS)
    assert pooled.left_out == 0


def test_claims_come_in_another_order_than_they_were_logged_in_and_in_another_at_each_partner(pooled: Pooled) -> None:
    orders = [in_order(pooled, host, by) for host in (INSURER, BANK) for by in (came, index)]
    assert len({tuple(each) for each in orders}) == len(orders)


def test_what_tells_one_person_from_all_others_at_either_partner_is_nothing_that_both_saw(pooled: Pooled) -> None:
    seen: dict[str, dict[str, set[int]]] = {host: defaultdict(set) for host in (INSURER, BANK)}
    for host, whose in seen.items():
        for person, sights in pooled.sights[host].items():
            for text in texts_of(sights):
                whose[text].add(person)
    both = seen[INSURER].keys() & seen[BANK].keys()
    assert [text for text in both if len(seen[INSURER][text]) == len(seen[BANK][text]) == 1] == []


def nullifier(pooled: Pooled, person: int) -> str:
    """Return the nullifier of a person's claim at the insurer."""
    return str(claim_of(pooled.sights[INSURER][person]).seen["request"]["claim"]["payload"]["nullifier"])


LEAKS: dict[str, Callable[[Pooled], Pooled]] = {
    "claims come in one order": lambda pooled: leaking(
        pooled, lambda person, sight: replace(sight, order=claim_of(pooled.sights[INSURER][person]).order)
    ),
    "claims are sized by person": lambda pooled: leaking(
        pooled,
        lambda person, sight: replace(
            sight, seen={**sight.seen, "request_size": came(claim_of(pooled.sights[INSURER][person]))}
        ),
    ),
    "one nullifier for both": lambda pooled: leaking(
        pooled, lambda person, sight: replace(sight, seen={**sight.seen, "spent": nullifier(pooled, person)})
    ),
}


@pytest.mark.parametrize("name", LEAKS)
def test_what_leaks_is_found(pooled: Pooled, name: str) -> None:
    """The matcher is told the truth about half of the people, and names nearly all of the other half."""
    best = match(LEAKS[name](pooled), seed="P6", with_texts=False)[0]
    assert best.hits >= best.people - 1, best


def test_many_people_are_matched_no_better_than_by_chance(tmp_path_factory: pytest.TempPathFactory) -> None:
    found = match(live(tmp_path_factory.mktemp("month"), people=MANY, seed="P6"), seed="P6", with_texts=False)
    assert [each for each in found if each.hits > HITS_MAX] == []
