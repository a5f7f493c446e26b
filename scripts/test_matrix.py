"""Run the numeric tests as other machines would: with older instruction sets, one or two threads, and under load.

    python scripts/test_matrix.py [--quick] [--seed N] [LEG ...]

Every leg runs in random order. A leg sets the instruction sets that torch and oneDNN may use, the number of threads,
and the number of busy background processes, which end with the leg and with this script. Prints a table of the legs and
exits with status 1 if one of them failed.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

ROOT = Path(__file__).parents[1]
QUICK = "not slow and not weights"  # as in the Makefile
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
SSE41 = {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default"}

# Tests of files, options, processes and the web, without computation; all other tests are numeric.
NOT_NUMERIC = [
    *("cli", "scripts", "studio", "benchmarks/test_commands.py", "benchmarks/test_race.py"),
    *("imaging/test_metadata.py", "network/weights", "options/test_fields.py", "options/test_recipes.py"),
    *("run/test_out_of_memory.py", "run/test_record.py", "workflows/test_report.py"),
    *("test_architecture.py", "test_conftest.py", "test_docs.py", "test_errors.py", "test_events.py"),
    *("test_files.py", "test_makefile.py", "test_notebook.py", "test_vocabulary.py"),
]

# Ends with its parent, even if the parent is killed.
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))\n"


@dataclass(frozen=True)
class Leg:
    """One configuration of the tests: instruction sets, threads, busy background processes."""

    instructions: dict[str, str]
    threads: int
    busy: int = 0


LEGS = {
    "avx2-1": Leg(AVX2, 1),
    "avx2-2": Leg(AVX2, 2),
    "sse41-1": Leg(SSE41, 1),
    "sse41-2": Leg(SSE41, 2),
    "busy-1": Leg({}, 1, busy=2),
    "busy-2": Leg({}, 2, busy=2),
}


def run(name: str, leg: Leg, seed: int, arguments: list[str]) -> tuple[bool, str]:
    """Run one leg and return whether it passed, and the summary line of pytest."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--randomly-seed={seed}"]
    if leg.threads == 1:
        command += ["-n", "2", "--dist", "worksteal"]
    environment = {**os.environ, **leg.instructions, "OMP_NUM_THREADS": str(leg.threads)}
    summary = "no summary"
    with ExitStack() as stack:
        for _ in range(leg.busy):
            process = subprocess.Popen([sys.executable, "-c", BUSY])
            stack.callback(process.wait)
            stack.callback(process.kill)
        print(f"---- {name}: {leg}, seed {seed}", flush=True)
        tests = subprocess.Popen([*command, *arguments], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        stack.callback(tests.wait)
        stack.callback(tests.terminate)
        assert tests.stdout is not None
        for line in tests.stdout:
            print(line, end="", flush=True)
            if re.search(r"\d+ (passed|failed|error).* in ", line):
                summary = line.strip("= \n")
        return tests.wait() == 0, summary


def stop(number: int, _: FrameType | None) -> NoReturn:
    """Exit through SystemExit, so that the busy processes are stopped."""
    raise SystemExit(128 + number)


def main() -> int:
    """Run the legs named on the command line, by default all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("legs", nargs="*", metavar="LEG", help=f"one of {', '.join(LEGS)}; default: all")
    parser.add_argument("--quick", action="store_true", help=f"only the quick tier: {QUICK}")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(2**32), help="seed of the test order"
    )
    args = parser.parse_args()
    unknown = set(args.legs) - set(LEGS)
    if unknown:
        parser.error(f"no such leg: {', '.join(sorted(unknown))}; choose from {', '.join(LEGS)}")
    signal.signal(signal.SIGTERM, stop)
    missing = [path for path in NOT_NUMERIC if not (ROOT / "tests" / path).exists()]
    if missing:
        parser.error(f"NOT_NUMERIC has paths that do not exist: {', '.join(missing)}")
    arguments = [f"--ignore=tests/{path}" for path in NOT_NUMERIC]
    arguments += ["-m", QUICK] if args.quick else []
    results = {name: run(name, LEGS[name], args.seed, arguments) for name in args.legs or LEGS}
    print(f"\n{'leg':<10}{'':<8}tests")
    for name, (passed, summary) in results.items():
        print(f"{name:<10}{'passed' if passed else 'FAILED':<8}{summary}")
    return 0 if all(passed for passed, _ in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
