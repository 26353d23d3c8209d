"""The logs of an audit, one after the other.

The next one is begun when the one before it has nothing left to give away, so that the crew need not wait for a replay.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tallystick.audit.exhibits import Exhibits
from tallystick.audit.findings import Findings
from tallystick.audit.integrity import Ahead
from tallystick.audit.log import Asked, AuditedLog, BegunLog, begin_log
from tallystick.audit.source import Source
from tallystick.audit.state import SavedAudit, Saver


@dataclass(slots=True)
class Line:
    """The logs in their order, each begun once.

    Attributes:
        since: for each source, the earlier audit to go on from, None for none.
        found: for each source, what does not hold.
    """

    sources: Sequence[Source]
    since: Sequence[SavedAudit | None]
    asked: Asked
    exhibits: Exhibits
    found: list[Findings] = field(init=False)
    _begun: dict[int, BegunLog | None] = field(default_factory=dict[int, BegunLog | None])

    def __post_init__(self) -> None:
        """Begin with nothing found."""
        self.found = [Findings(source.where) for source in self.sources]

    def finish(self, at: int, *, saver: Saver | None) -> AuditedLog | None:
        """Return the log at a place of the line after its audit; None where it has no head that can be read.

        Raises:
            AuditNotRun: the source cannot be read to its end; or the earlier audit did not replay what this one must.
        """
        begun = self._begin(at)
        # Each is finished once: what was read of it is not held any longer than that takes.
        self._begun[at] = None
        return None if begun is None else begun.finish(saver=saver)

    def _begin(self, at: int) -> BegunLog | None:
        if at not in self._begun:
            self.found[at] = Findings(self.sources[at].where)  # also where a first attempt could not read it
            self._begun[at] = begin_log(
                self.sources[at],
                self.found[at],
                self.asked,
                self.exhibits,
                since=self.since[at],
                behind=lambda: self._ahead(at + 1),
            )
        return self._begun[at]

    def _ahead(self, at: int) -> Ahead | None:
        """Return the spans of the first log from a place on that has any."""
        if at == len(self.sources):
            return None
        begun = self._begin(at)
        return self._ahead(at + 1) if begun is None else begun.ahead()
