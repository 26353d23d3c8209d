"""Measure at full length: `python -m privacy [asks] [matching]`, with `tests` on the path; fails above a margin."""

import argparse
import logging
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from privacy import asks, matching, month

PEOPLE = 4
CONTROLS = 40


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


def measure_matching(people: int) -> bool:
    """Print how well two partners match a gym's customers (P6); return whether that is within the margin.

    A control comes first: where people themselves act at both partners at the same time, the matcher finds them.
    """
    with tempfile.TemporaryDirectory() as folder:
        told = matching.match(month.live(Path(folder), people=CONTROLS, seed="P6", together=True), seed="P6")[0]
    print(f"P6: control of {CONTROLS} who join both partners in one sitting: {told}")
    with tempfile.TemporaryDirectory() as folder:
        found = matching.match(month.live(Path(folder), people=people, seed="P6"), seed="P6")
    print(f"  {people} people of two partners, the truth known for half of them; chance names 1")
    for each in found:
        print(f"  {each}")
    return told.hits > told.people / 2 and all(each.within() for each in found)


def main() -> int:
    """Run what the command line asks for; 0 where every figure is within its margin."""
    parser = argparse.ArgumentParser(prog="python -m privacy", description=__doc__)
    parser.add_argument("what", nargs="*", choices=["asks", "matching", []], help="all where none is named")
    parser.add_argument("--asks", type=int, default=10_000, help="how many questions")
    parser.add_argument("--people", type=int, default=1_000, help="how many people")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    holds = True
    measures = {"asks": lambda: measure_asks(asked.asks), "matching": lambda: measure_matching(asked.people)}
    for name, measure in measures.items():
        if not asked.what or name in asked.what:
            began_s = time.monotonic()
            within = measure()
            print(f"  {'holds' if within else 'BROKEN'} ({time.monotonic() - began_s:.0f} s)", flush=True)
            holds = holds and within
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
