"""Short turns for the threads of the auditor's process, while others work for it.

What others send is read by a thread that needs the interpreter again and again, a little at a time; the replay holds
the interpreter all the time. With turns of the usual 5 ms, others waited for that thread a sixth of an audit.
"""

import sys
from collections.abc import Generator
from contextlib import contextmanager

TURN_S = 20e-6


@contextmanager
def short_turns() -> Generator[None]:
    """Let no thread of this process hold the interpreter for longer, if another one wants it, until the block ends."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(usual_s)
