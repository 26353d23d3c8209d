"""No search for garbage while logs are replayed, and held against each other.

What a replay remembers grows and holds no circle. Looking through all of it again and again for circles took a sixth of
an audit's time; what is not used any more is freed without that. So a whole audit is done within, and what it
remembered is gone when it ends: nothing of it is left to look through.
"""

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def without_collecting() -> Generator[None]:
    """Stop the interpreter's search for circular garbage, in all of this process, until the block ends."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
