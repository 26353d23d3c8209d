"""What a program tells beside the others of its payer over one source, held against what was agreed (P17).

Pure. A subject who permits one company several questions about the same events permits, of those up to each rung, that
rung together and no more: two yes-or-no questions about one figure are a band, which nobody agreed to, and which a
third question of a higher rung does not permit them either.

Source: DESIGN P17, CONSTRUCTIONS (rules and rewards).
"""

from collections.abc import Iterable

from tallystick_consent.fields import RUNG_HEIGHT, Rung
from tallystick_consent.program import Program
from tallystick_consent.rules import require_within


def require_within_beside(program: Program, others: Iterable[Program]) -> None:
    """Return quietly if a program may stand beside the others of its payer at one issuer.

    Args:
        program: the new one, in the version that is published, agreed or asked for.
        others: those that live there, each in one version; an older or newer version of the new one is passed over.

    Raises:
        RulesTellTooMuch: those up to a rung, it among them, tell more together than that rung.
    """
    classes = _asked_about(program)
    beside = [each for each in others if each.program != program.program and _asked_about(each) & classes]
    together = [program, *beside]
    rungs: set[Rung] = {each.rung for each in together}
    for rung in sorted(rungs, key=_height):
        if _height(rung) >= _height(program.rung):
            within = [each for each in together if _height(each.rung) <= _height(rung)]
            require_within([each.question() for each in within], rung=rung)


def _height(rung: Rung) -> int:
    return RUNG_HEIGHT[rung]


def _asked_about(program: Program) -> frozenset[str]:
    plan = program.rule.spelled_out()
    return plan.measured_classes or plan.required_classes
