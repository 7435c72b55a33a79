"""Run the benchmarks one after the other, each in a process of its own with an empty cache, and say which failed.

    python benchmarks/run.py [--quick] [--torch-python PATH] [NAMES ...]

Without names: in full, those whose tables are in `docs/benchmarks.md` and need no folder of photographs; with ``--quick``, all of them.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
FULL = (
    "importing", "comparing", "verification", "epoch_ends", "fixed_costs", "features", "partial_freezing", "frozen_training", "memory",
    "time_to_accuracy", "commands",
)  # fmt: skip
OTHERS = {  # what is given to those that write elsewhere, or need photographs
    "accelerator": (),
    "backends": ("arms",),
    "coverage": (),
    "imbalanced": (),
    "own_photographs": (),
    "photograph_rates": (),
    "sharded_features": (),
}
WITH_TORCH = ("features", "frozen_training", "time_to_accuracy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAMES", help=f"of {', '.join((*FULL, *OTHERS))}")
    parser.add_argument("--quick", action="store_true", help="the smallest size of each; no result is written")
    parser.add_argument("--torch-python", default=sys.executable, help="the interpreter that has PyTorch")
    options = parser.parse_args()
    unknown = set(options.names) - {*FULL, *OTHERS}
    if unknown:
        parser.error(f"there are no benchmarks {', '.join(sorted(unknown))}")
    rows = []
    for name in options.names or ((*FULL, *OTHERS) if options.quick else FULL):
        given = [*OTHERS.get(name, ()), *(["--torch-python", options.torch_python] if name in WITH_TORCH else [])]
        command = [sys.executable, str(HERE / f"{name}.py"), *given, *(["--quick"] if options.quick else [])]
        print(f"\n## {name}", flush=True)
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as home:
            environment = {"TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ | {"TRANSFERKIT_HOME": home}
            status = subprocess.run(command, env=environment, check=False).returncode  # noqa: S603 - our own scripts
        rows.append((name, status, time.perf_counter() - start))
    print("\n| benchmark | status | seconds |\n|---|---|---|")
    for name, status, seconds in rows:
        print(f"| {name} | {status} | {seconds:.0f} |")
    sys.exit(any(status for _, status, _ in rows))


if __name__ == "__main__":
    main()
