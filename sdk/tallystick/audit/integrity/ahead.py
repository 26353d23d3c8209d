"""The spans of logs, in order, with so many on their way to the crew as it may have.

Where one log has no more to give away, the next one's begin: the crew works on while the last ones are replayed.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from tallystick.audit.integrity.crew import Crew
from tallystick.audit.integrity.span import Checked, Span
from tallystick.audit.source import AuditNotRun, Files


def nobody() -> None:
    """No log comes after this one."""


@dataclass(slots=True)
class Ahead:
    """The spans of one log.

    Attributes:
        files: the log's.
        spans: those that nobody was given yet.
        crew: gets them.
        behind: gives those of the log that comes after this one; None where none does, or where it waits for its turn.
    """

    files: Files
    spans: Iterator[Span]
    crew: Crew
    behind: "Callable[[], Ahead | None]"
    _waiting: "deque[tuple[Span, Future[Checked]]]" = field(default_factory=deque[tuple[Span, "Future[Checked]"]])

    def checked(self) -> Iterator[Checked]:
        """Yield what comes of each span, and of what it left to others because it carried enough.

        Raises:
            AuditNotRun: as `Crew.start` and `Crew.finish`.
        """
        try:
            self._give_away(self.crew.ahead)
            while self._waiting:
                span, started = self._waiting.popleft()
                checked = self.crew.finish(started)
                yield checked
                while checked.end < span.end and not checked.cut:
                    checked = self.crew.finish(self.crew.start(self.files, replace(span, first=checked.end)))
                    yield checked
                self._give_away(self.crew.ahead)
        finally:
            for _, started in self._waiting:
                started.cancel()

    def _give_away(self, room: int) -> None:
        """Give spans away until so many are on their way."""
        while len(self._waiting) < room:
            span = next(self.spans, None)
            if span is None:
                break
            self._waiting.append((span, self.crew.start(self.files, span)))
        if self.crew.executor is None or len(self._waiting) >= room:
            return
        try:
            behind = self.behind()
        except AuditNotRun:
            return  # it is asked again when its turn comes, and says so then
        if behind is not None and behind.crew.executor is self.crew.executor:
            behind._give_away(room - len(self._waiting))
