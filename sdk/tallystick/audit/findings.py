"""What an audit found, in order, and no more of one rule than a person will read.

What stands in a ledger or a file name was written by others: here it becomes plain text that a terminal can be given.
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager

from tallystick_ledger.replay import Finding

FINDINGS_PER_RULE_MAX = 100
"""A log that is wrong all over says so once; the rest is counted."""


class Findings:
    """The findings about one source; each names the source in its place."""

    def __init__(self, where: str) -> None:
        self._where = printable(where)
        self._found: list[Finding] = []
        self._counts: dict[str, int] = {}
        self._lasting: Findings | None = None

    def add(self, rule: str, place: str, problem: str) -> None:
        """Note that `rule` does not hold at `place`."""
        self._add(Finding(rule, f"{self._where}: {printable(place)}", printable(problem)))

    def _add(self, finding: Finding) -> None:
        count = self._counts[finding.rule] = self._counts.get(finding.rule, 0) + 1
        if count <= FINDINGS_PER_RULE_MAX:
            self._found.append(finding)
        if self._lasting is not None:
            self._lasting._add(finding)

    @contextmanager
    def lasting(self, earlier: "Findings") -> Generator[None]:
        """Keep in `earlier` too what is found from here on: a later audit will not look there again."""
        self._lasting = earlier
        try:
            yield
        finally:
            self._lasting = None

    def kept(self) -> tuple[list[Finding], dict[str, int]]:
        """Return the findings listed, and how often each rule was broken."""
        return list(self._found), dict(self._counts)

    def keep(self, found: Sequence[Finding], counts: Mapping[str, int]) -> None:
        """Take over what `kept` returned, behind what is here."""
        for each in found:
            self._add(each)
        for rule, count in counts.items():
            listed = sum(each.rule == rule for each in found)
            self._counts[rule] = self._counts.get(rule, 0) + max(0, count - listed)

    def drain(self, findings: list[Finding]) -> None:
        """Take over what a replay found, and leave its list empty."""
        for each in findings:
            self.add(each.rule, each.where, each.problem)
        findings.clear()

    def all(self) -> tuple[Finding, ...]:
        """Return every finding kept, and one for each rule that was broken more often than is listed."""
        more = (
            Finding(rule, f"{self._where}: further places", f"{count - FINDINGS_PER_RULE_MAX} more are not listed.")
            for rule, count in self._counts.items()
            if count > FINDINGS_PER_RULE_MAX
        )
        return (*self._found, *more)


def printable(text: str) -> str:
    """Return the text with every character that would not show, or would steer a terminal, written as its escape."""
    return "".join(_escaped(text))


def _escaped(text: str) -> Iterable[str]:
    return (each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
