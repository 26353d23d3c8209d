"""Measure at full length: `python -m privacy [asks]`, with `tests` on the path; fails above a margin."""

import argparse
import logging
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from privacy import asks

PEOPLE = 4


def measure_asks(count: int) -> bool:
    """Print how well times tell denied questions apart (P11); return whether that is within the margin."""
    with tempfile.TemporaryDirectory() as folder, asks.scene(Path(folder), people=PEOPLE) as scene:
        order = random.Random(count)  # noqa: S311  # the same order in each run; no secret is made of it
        with asks.working_alone(scene.gym):
            asks.ask(scene, count=count // 20, order=order)  # the first answers are slow whoever they are about
            asked = asks.ask(scene, count=count, order=order)
    times = [each.took_ms for each in asked]
    found = asks.tell_apart(asked)
    denied = [each for each in found if "permitted" not in each.groups]
    print(f"P11: {len(asked)} asks of {len(asks.GROUPS)} groups, median {median(times):.2f} ms")
    print(f"  different answers: {len(asks.shapes(asked))}")
    for title, told in (("denied", denied[0]), ("any", found[0])):
        print(f"  best at two groups, {title}: AUC {told.area} ({' / '.join(told.groups)}, by {told.by})")
    print(f"  an answer later by {asks.shift_told_ms(times):.3f} ms would have passed {asks.AREA_MAX}")
    return len(asks.shapes(asked)) == 1 and found[0].area.value <= asks.AREA_MAX


def main() -> int:
    """Run what the command line asks for; 0 where every figure is within its margin."""
    parser = argparse.ArgumentParser(prog="python -m privacy", description=__doc__)
    parser.add_argument("what", nargs="*", choices=["asks", []], help="all where none is named")
    parser.add_argument("--asks", type=int, default=10_000, help="how many questions")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    holds = True
    for name, measure in (("asks", lambda: measure_asks(asked.asks)),):
        if not asked.what or name in asked.what:
            began_s = time.monotonic()
            within = measure()
            print(f"  {'holds' if within else 'BROKEN'} ({time.monotonic() - began_s:.0f} s)", flush=True)
            holds = holds and within
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
