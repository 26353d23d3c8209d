"""Run seeds until one breaks a promise: `python -m simulator [--seeds N] [--first SEED]`, with `tests` on the path.

Prints the seed that did, what happened in it, and the command that does it again; exits with 1 then.
"""

import argparse
import itertools
import logging
import sys
import tempfile
import time
import traceback
from pathlib import Path

from simulator.world import STEPS, Ground, run

SAYS_EVERY_S = 10


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    parser.add_argument("--seeds", type=int, default=0, help="how many; 0 for as many as there is time")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--unlucky", action="store_true", help="more failures, old backups and silence")
    parser.add_argument("--steps", type=int, default=STEPS, help="how long each world lives")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    seeds = range(asked.first, asked.first + asked.seeds) if asked.seeds else itertools.count(asked.first)
    with tempfile.TemporaryDirectory() as folder:
        ground = Ground(Path(folder))
        said_s = began_s = time.monotonic()
        for seed in seeds:
            try:
                run(seed, ground, steps=asked.steps, unlucky=asked.unlucky)
            except BaseException:  # noqa: BLE001  # whatever it is, its seed is what is wanted
                traceback.print_exc()
                again = f"--first {seed} --seeds 1 --steps {asked.steps}{' --unlucky' if asked.unlucky else ''}"
                print(f"again: PYTHONPATH=tests python -m simulator {again}")
                return 1
            if time.monotonic() - said_s > SAYS_EVERY_S:
                said_s = time.monotonic()
                print(f"seed {seed} and all before it hold ({said_s - began_s:.0f} s)", flush=True)
        ground.close()
    print(f"{asked.seeds} seeds hold")
    return 0


if __name__ == "__main__":
    sys.exit(main())
