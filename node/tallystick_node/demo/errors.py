"""Why a demo ends before its end.

TallyError
  DemoNotRun     it could not begin, or could not go on: nothing is said of any promise
  StoryStopped   the companies did not do what the story needs next
"""

from tallystick_ledger.errors import TallyError


class DemoNotRun(TallyError):
    """The demo could not begin, or could not go on, for a reason that says nothing of any promise."""

    code = "demo_not_run"


class StoryStopped(TallyError):
    """The companies did not do what the story needs next."""

    code = "demo_story_stopped"
