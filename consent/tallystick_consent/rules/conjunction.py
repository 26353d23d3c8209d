"""Claims of different issuers, concluded at the recipient: which case of a table holds.

Pure. The recipient alone sees all of them, and what it knows of its own customer (an age, a balance) stays with it; no
issuer learns what another said. A conjunction may build on others, but never on itself.

Source: SCENARIOS section 3 (claims of different issuers; the recipient applies its own age).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from tallystick_consent.errors import places_in
from tallystick_consent.fields import Host, ProgramName, Strict, Version
from tallystick_consent.rules.comparing import BANDS_MAX, Figure, Member, names_in
from tallystick_consent.rules.errors import RuleRejected
from tallystick_ledger.encoding import canonical_json

DEPTH_MAX = 8
"""How many conjunctions may build on one another."""

CONJUNCTIONS_MAX = 256


class ClaimNeeded(Strict):
    """An accepted claim of this period.

    Attributes:
        program: which program's.
        issuers: who may have issued it.
        version_at_least: the oldest version that serves.
        band_at_least: the lowest band that serves; None where the claim is a yes.
    """

    program: ProgramName
    issuers: Annotated[tuple[Host, ...], Field(min_length=1, max_length=64)]
    version_at_least: Version = 1
    band_at_least: Annotated[int, Field(ge=1, le=BANDS_MAX)] | None = None


class FactNeeded(Strict):
    """Something the recipient knows of its own customer, such as an age in years."""

    fact: Member
    at_least: Figure | None = None
    at_most: Figure | None = None

    @model_validator(mode="after")
    def _sound(self) -> "FactNeeded":
        if self.at_least is None and self.at_most is None:
            raise ValueError("a fact is held against a bound")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError("the bounds of a fact leave nothing between them")
        return self


class OutcomeNeeded(Strict):
    """What another conjunction concludes for this period."""

    conjunction: ProgramName
    outcomes: Annotated[tuple[ProgramName, ...], Field(min_length=1, max_length=16)]


def _need_shape(value: Any) -> str:
    given = names_in(value)
    return "fact" if "fact" in given else "conjunction" if "conjunction" in given else "claim"


Need = Annotated[
    Annotated[ClaimNeeded, Tag("claim")]
    | Annotated[FactNeeded, Tag("fact")]
    | Annotated[OutcomeNeeded, Tag("conjunction")],
    Discriminator(_need_shape),
]


class Case(Strict):
    """One case: what it concludes, and all that must be so.

    Attributes:
        outcome: the recipient's own name for it, such as a tier.
        all_of: what must be so.
        by_different_issuers: whether no two of its claims may come from one issuer.
    """

    outcome: ProgramName
    all_of: Annotated[tuple[Need, ...], Field(min_length=1, max_length=8)]
    by_different_issuers: bool = False


class Conjunction(Strict):
    """A table of cases, the first of which that holds is the outcome.

    Attributes:
        conjunction: its name.
        cases: in order.
        otherwise: the outcome where none holds.
    """

    conjunction: ProgramName
    version: Version
    cases: Annotated[tuple[Case, ...], Field(min_length=1, max_length=16)]
    otherwise: ProgramName

    @property
    def outcomes(self) -> frozenset[str]:
        """Everything that it can conclude."""
        return frozenset({self.otherwise, *(case.outcome for case in self.cases)})


@dataclass(frozen=True, slots=True)
class Accepted:
    """A claim that the recipient has accepted.

    Attributes:
        claim: its id.
        band: which band it tells; None for a yes.
    """

    claim: str
    program: str
    version: int
    issuer: str
    period: str
    band: int | None = None


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What was concluded, and from what.

    Attributes:
        outcome: the outcome.
        case: the place of the case that holds, from 0; None where none does.
        claims: ids of the claims it stands on, sorted; those of conjunctions it builds on included.
    """

    outcome: str
    case: int | None
    claims: tuple[str, ...]


def parse_conjunction(document: object) -> Conjunction:
    """Return the conjunction that a JSON document holds.

    Raises:
        RuleRejected: a member is missing, unknown, of another type, or out of bounds.
        BadInput: the document has no canonical JSON.
    """
    try:
        return Conjunction.model_validate_json(canonical_json(document))
    except ValidationError as error:
        raise RuleRejected(
            f"A conjunction does not have the form it must have, at {places_in(error, document)}.",
            remedy="Compare it with those in docs/examples/conjunctions/; docs/rules.md says what they are.",
        ) from error


def require_sound(known: Iterable[Conjunction]) -> dict[str, Conjunction]:
    """Return the conjunctions by their names, once it is sure that each can be concluded.

    Raises:
        RuleRejected: two of one name, a name or an outcome that there is none of, a circle, or too long a chain.
    """
    named: dict[str, Conjunction] = {}
    for each in known:
        if len(named) == CONJUNCTIONS_MAX:
            raise _refused(f"There are more than {CONJUNCTIONS_MAX} conjunctions.")
        if each.conjunction in named:
            raise _refused("Two conjunctions have one name.", each.conjunction)
        named[each.conjunction] = each
    for each in named.values():
        for need in _built_on(each):
            if need.conjunction not in named or not set(need.outcomes) <= named[need.conjunction].outcomes:
                raise _refused("A conjunction builds on an outcome that there is none of.", each.conjunction)
    depths: dict[str, int] = {}
    for name in named:
        _depth(named, name, (), depths)
    return named


def conclude(
    name: str,
    known: Mapping[str, Conjunction],
    *,
    accepted: Sequence[Accepted],
    facts: Mapping[str, int],
    period: str,
) -> Conclusion:
    """Return what a conjunction concludes for one subject and period.

    Args:
        name: which conjunction.
        known: all of them, from `require_sound`.
        accepted: the subject's accepted claims; those of other periods are not looked at.
        facts: what the recipient knows itself. A fact it does not know is not so.
        period: the period.
    """
    current = sorted((claim for claim in accepted if claim.period == period), key=lambda each: each.claim)
    return _Table(known, current, facts).concluded(name)


class _Table:
    """What is known of one subject and period, and what was concluded from it so far: each conjunction once."""

    def __init__(self, known: Mapping[str, Conjunction], claims: Sequence[Accepted], facts: Mapping[str, int]) -> None:
        self._known = known
        self._claims = claims
        self._facts = facts
        self._found: dict[str, Conclusion] = {}

    def concluded(self, name: str) -> Conclusion:
        """Return what a conjunction concludes."""
        if name not in self._found:
            self._found[name] = self._conclude(self._known[name])
        return self._found[name]

    def _conclude(self, conjunction: Conjunction) -> Conclusion:
        for at, case in enumerate(conjunction.cases):
            used = self._used_by(case)
            if used is not None:
                return Conclusion(case.outcome, at, tuple(sorted(used)))
        return Conclusion(conjunction.otherwise, None, ())

    def _used_by(self, case: Case) -> set[str] | None:
        """Return the claims a case stands on, None where it does not hold."""
        used: set[str] = set()
        serving: list[list[Accepted]] = []
        for need in case.all_of:
            match need:
                case FactNeeded():
                    if not _known_so(need, self._facts):
                        return None
                case OutcomeNeeded():
                    below = self.concluded(need.conjunction)
                    if below.outcome not in need.outcomes:
                        return None
                    used.update(below.claims)
                case ClaimNeeded():
                    serving.append([each for each in self._claims if _serves(each, need)])
        if not all(serving):
            return None
        chosen = _by_different_issuers(serving) if case.by_different_issuers else [each[0] for each in serving]
        return None if chosen is None else used | {each.claim for each in chosen}


def _by_different_issuers(serving: Sequence[Sequence[Accepted]]) -> list[Accepted] | None:
    """Return a claim for each need with no issuer twice, None where there is no such choice (a bipartite matching)."""
    taken: dict[str, int] = {}
    chosen: dict[int, Accepted] = {}

    def place(need: int, tried: set[str]) -> bool:
        for claim in serving[need]:
            if claim.issuer in tried:
                continue
            tried.add(claim.issuer)
            if claim.issuer not in taken or place(taken[claim.issuer], tried):
                taken[claim.issuer], chosen[need] = need, claim
                return True
        return False

    if not all(place(need, set()) for need in range(len(serving))):
        return None
    return [chosen[need] for need in range(len(serving))]


def _serves(claim: Accepted, need: ClaimNeeded) -> bool:
    return (
        claim.program == need.program
        and claim.issuer in need.issuers
        and claim.version >= need.version_at_least
        and (need.band_at_least is None or (claim.band or 0) >= need.band_at_least)
    )


def _known_so(need: FactNeeded, facts: Mapping[str, int]) -> bool:
    fact = facts.get(need.fact)
    if fact is None:
        return False
    return (need.at_least is None or fact >= need.at_least) and (need.at_most is None or fact <= need.at_most)


def _built_on(conjunction: Conjunction) -> list[OutcomeNeeded]:
    return [need for case in conjunction.cases for need in case.all_of if isinstance(need, OutcomeNeeded)]


def _depth(named: Mapping[str, Conjunction], name: str, above: tuple[str, ...], depths: dict[str, int]) -> int:
    """Return how many conjunctions stand on one another down from here, each looked at once."""
    if name in above:
        raise _refused("Conjunctions build on one another in a circle.", *above[above.index(name) :])
    if len(above) >= DEPTH_MAX:
        raise _refused(f"More than {DEPTH_MAX} conjunctions build on one another.", *above)
    if name not in depths:
        below = {need.conjunction for need in _built_on(named[name])}
        depths[name] = 1 + max((_depth(named, each, (*above, name), depths) for each in sorted(below)), default=0)
    if len(above) + depths[name] > DEPTH_MAX:
        raise _refused(f"More than {DEPTH_MAX} conjunctions build on one another.", *above, name)
    return depths[name]


def _refused(problem: str, *rules: str) -> RuleRejected:
    return RuleRejected(problem, remedy="Correct the conjunctions that are named.", rules=rules)
