"""`python -m bench [NAME...]`: run the benchmarks, all or those named; one JSON line each on standard output.

The last line lists the figures that do not reach their goals; nothing fails for that.
"""

import argparse
import json
import sys
import traceback

from bench import appending, auditing, consent, month_end, proving
from bench.goals import missed
from bench.harness import ROUNDS_MIN

BENCHMARKS = (
    *appending.BENCHMARKS,
    *auditing.BENCHMARKS,
    *proving.BENCHMARKS,
    *consent.BENCHMARKS,
    *month_end.BENCHMARKS,
)


def main() -> int:
    """Run what the command line names; return 1 where a benchmark did not run to its end."""
    asked = _parser().parse_args()
    if asked.list:
        print("\n".join(each.name for each in BENCHMARKS))
        return 0
    failed, lines = 0, list[dict[str, object]]()
    for each in BENCHMARKS:
        if asked.names and each.name not in asked.names:
            continue
        try:
            line = each.line(count=asked.count, batch=asked.batch, rounds=asked.rounds)
        except Exception as error:  # noqa: BLE001  # told in its line; the others still run
            traceback.print_exc()
            line, failed = each.failed(error, rounds=asked.rounds), 1
        print(json.dumps(line), flush=True)
        lines.append(line)
    print(json.dumps({"below_goal": missed(lines)}), flush=True)
    return failed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", type=_known, help="benchmarks to run; all where none is named"
    )
    parser.add_argument("--list", action="store_true", help="print the names")
    parser.add_argument("--count", type=_positive, help="how much work a turn is; each benchmark has its own default")
    parser.add_argument("--batch", type=_positive, default=1_000, help="entries a commit (default: 1000)")
    parser.add_argument("--rounds", type=_rounds, default=ROUNDS_MIN, help=f"at least {ROUNDS_MIN}, the default")
    return parser


def _known(name: str) -> str:
    return _allowed(name, name in {each.name for each in BENCHMARKS}, "is no benchmark; --list prints them")


def _positive(text: str) -> int:
    return int(_allowed(text, text.isdecimal() and int(text) > 0, "is not a number above 0"))


def _rounds(text: str) -> int:
    return int(_allowed(text, text.isdecimal() and int(text) >= ROUNDS_MIN, f"is below {ROUNDS_MIN} rounds"))


def _allowed(text: str, is_so: bool, problem: str) -> str:
    if not is_so:
        raise argparse.ArgumentTypeError(f"{text} {problem}")
    return text


if __name__ == "__main__":
    sys.exit(main())
