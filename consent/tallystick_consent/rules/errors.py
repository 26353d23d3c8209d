"""Errors of rules.

TallyError
  RuleRejected          a rule asks for what cannot be, or rules go round in a circle
    RulesTellTooMuch    what rules tell together is more than the receipt permits
"""

from tallystick_ledger.errors import TallyError


class RuleRejected(TallyError):
    """A rule, or several together, cannot be taken as they are written.

    Attributes:
        rules: the names of the rules concerned, `program@version` or the name of a conjunction.
    """

    code = "rule_invalid"

    def __init__(self, problem: str, *, remedy: str, rules: tuple[str, ...] = ()) -> None:
        super().__init__(problem, remedy=remedy)
        self.rules = rules


class RulesTellTooMuch(RuleRejected):
    """All rules of one recipient over one source tell more than the receipt's rung (P17).

    Attributes:
        told: the rung of what they tell together.
        permitted: the rung of the receipt.
    """

    code = "combined_minimality"

    def __init__(self, problem: str, *, remedy: str, rules: tuple[str, ...], told: str, permitted: str) -> None:
        super().__init__(problem, remedy=remedy, rules=rules)
        self.told = told
        self.permitted = permitted
