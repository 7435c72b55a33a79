"""How long `import transferkit` takes in a fresh interpreter, beside what it puts off: TensorFlow and Keras.

    python benchmarks/importing.py [--rounds 7]

Each round starts an interpreter for each line; the seconds are those of the fastest round, less those of an empty program.
"""

import argparse
import subprocess
import sys

import machine

parser = argparse.ArgumentParser(description="Import time")
parser.add_argument("--rounds", type=int, default=7)
arguments = parser.parse_args()


def start(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)  # noqa: S603 - our own code


programs = {"": "pass", "transferkit": "import transferkit", "keras": "import keras", "tensorflow": "import tensorflow"}
seconds = machine.time_in_turns(
    {name: lambda code=code: start(code) for name, code in programs.items()}, rounds=arguments.rounds
)
empty = min(seconds.pop(""))
print(machine.describe_machine(), "\n")
machine.print_table(["import", "seconds"], [[name, f"{min(times) - empty:.2f}"] for name, times in seconds.items()])
