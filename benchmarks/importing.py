"""How long `import transferkit` takes in a fresh interpreter, beside what it puts off: TensorFlow and Keras.

    python benchmarks/importing.py [--quick] [--rounds 5]

Each round starts an interpreter for each line; the seconds are those of the fastest round, less those of an empty program.
"""

import argparse
import subprocess
import sys

import machine

LOADED = "import transferkit, sys; sys.exit(len({'keras', 'tensorflow', 'jax', 'torch', 'pandas'} & set(sys.modules)))"

parser = argparse.ArgumentParser(description="Import time")
parser.add_argument("--rounds", type=int, default=5)
arguments = machine.parse(parser, rounds=1)


def start(code: str, *, check: bool = True) -> int:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=check, stderr=subprocess.DEVNULL).returncode  # noqa: S603 - our own code


programs = {"": "pass", "transferkit": "import transferkit"}
if not arguments.quick:  # nothing of ours, and most of the time
    programs |= {"keras": "import keras", "tensorflow": "import tensorflow"}
seconds = machine.time_in_turns(
    {name: lambda code=code: start(code) for name, code in programs.items()}, rounds=arguments.rounds
)
empty = min(seconds.pop(""))
results = machine.Results("importing", {"import": "{}", "seconds": "{:.2f}"}, arguments)
for name, times in seconds.items():
    results.add(name, min(times) - empty)
results.check("packages that import transferkit loads and should not", start(LOADED, check=False), 0)
