"""Where the seconds of a frozen training go that are neither epochs nor features.

    python benchmarks/fixed_costs.py [--quick] [--images 5000] [--epochs 10] [--size 96]

One training and its saved run, three times: with an empty cache in a fresh process, again in that process, and with a full cache in a
fresh process. Stopwatches around public calls and some internal functions divide the time: what an inner one takes is not counted in the
outer one, so the rows add up to the seconds of the call. Features, the only part that grows with the images, have a row of their own.
"""

import argparse
import functools
import importlib
import sys
import tempfile
import time
from statistics import median

import machine

# What is timed: the names of functions, and the row that their time goes to. `train` itself has what none of them takes.
TIMED = {
    "train: everything else": ["transferkit.training.fitting:train"],
    "checks of model and data": ["transferkit.training.steps:check_trainable"],
    "looking for the frozen part": ["transferkit.features.prefix:find_prefix"],
    "identity: programs of the trained part": ["transferkit.training.identity:_programs"],
    "identity: hashes and the rest": ["transferkit.training.identity:identify_network"],
    "copies of the weights": ["transferkit.training.compiled:snapshot"],
    "probe": ["transferkit.training.identity:probe_network"],
    "conversion to LiteRT": ["transferkit.features.engine:_convert"],
    "starting LiteRT": ["transferkit.features.litert:litert_engine"],
    "check of features against the layers": ["transferkit.features.engine:live_values"],
    "features": ["transferkit.features.cache:FeatureCache._run"],
    "finding kept features": [
        "transferkit.features.cache:FeatureCache.__init__",
        "transferkit.features.cache:FeatureCache.locate",
    ],
    "health check": ["transferkit.training.network:count_dead"],
    "preparation of the phase": ["transferkit.training.steps:GradientSteps._fit_phase"],
    "fit": ["transferkit.training.steps:fit_of"],
    "checkpoints": ["transferkit.training.checkpoint:save_checkpoint"],
    "predictions of test, validation and training images": ["transferkit.training.evaluation:Predictor.__call__"],
    "timing of predictions": ["transferkit.training.steps:seconds_for_test"],
    "record": ["transferkit.training.record:record_run"],
    "saving": ["transferkit.training.keeping:_save"],
}


class Stopwatches:
    """Seconds by row, each without what is inside it and has a row of its own."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside = [0.0]

    def timed(self, row, function):
        @functools.wraps(function)
        def run(*given, **options):
            self._inside.append(0.0)
            start = time.perf_counter()
            try:
                return function(*given, **options)
            finally:
                whole = time.perf_counter() - start
                self.seconds[row] = self.seconds.get(row, 0.0) + whole - self._inside.pop()
                self._inside[-1] += whole

        return run

    def attach(self) -> None:
        """Replace the functions of `TIMED` wherever they were imported."""
        for row, names in TIMED.items():
            for name in names:
                module, _, path = name.partition(":")
                owner = importlib.import_module(module)
                *outer, attribute = path.split(".")
                for part in outer:
                    owner = getattr(owner, part)
                original = getattr(owner, attribute)
                timed = self.timed(row, original)
                if row == "fit":  # it returns the function that fits
                    timed = lambda model, original=original: self.timed("fit", original(model))
                loaded = [found for key, found in sys.modules.items() if key.startswith("transferkit.")]
                for place in [owner, *(found for found in loaded if vars(found).get(attribute) is original)]:
                    setattr(place, attribute, timed)


def measure(arguments: argparse.Namespace) -> None:
    """Train once or twice in this process and give the seconds of each row back."""
    found, started = [], time.perf_counter()
    import transferkit as tk
    from transferkit.training import fitting

    imports, load_seconds = time.perf_counter() - started, []
    watches = Stopwatches()
    watches.attach()
    for _ in range(3):
        start = time.perf_counter()
        tk.load_fashion_mnist()
        load_seconds.append(time.perf_counter() - start)
    data = machine.fashion_mnist(train=arguments.images, validation=256, test=min(10_000, 2 * arguments.images))
    for again in range(arguments.trainings):
        watches.seconds.clear()
        watches.seconds["imports"] = 0.0 if again else imports
        watches.seconds["load_fashion_mnist"] = min(load_seconds[1:]) if again else load_seconds[0]
        start = time.perf_counter()
        model = tk.build_transfer_model("mobilenet", image_size=arguments.size)
        watches.seconds["building"] = time.perf_counter() - start
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            run = fitting.train(model, data, epochs=arguments.epochs, folder=folder, verbose=False)
        seconds = {"the call of train": time.perf_counter() - start, **watches.seconds}
        for row, column in (("epochs", "seconds"), ("validation", "validation_seconds")):
            # The first epoch traces the step, computes features, and more: what it takes longer stays in "fit".
            seconds[row] = median(epoch[column] for epoch in run.history[1:]) * arguments.epochs
        fit = seconds.pop("fit")
        seconds["tracing of the steps, start and end of fit"] = fit - seconds["epochs"] - seconds["validation"]
        found.append({"seconds": seconds, "accuracy": run.metrics["accuracy"]})
    machine.give_back(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--trainings", type=int, help=argparse.SUPPRESS)
    arguments = machine.parse(parser, images=200, epochs=2, size=64)
    if arguments.trainings:
        measure(arguments)
        return
    given = [f"--{name}={getattr(arguments, name)}" for name in ("images", "epochs", "size")]
    with tempfile.TemporaryDirectory() as home:
        cold, again = machine.in_process(__file__, [*given, "--trainings=2"], home=home)
        # Quickly, the process is started only once.
        warm = again if arguments.quick else machine.in_process(__file__, [*given, "--trainings=1"], home=home)[0]
    columns = ("empty cache, s", "full cache, fresh process, s", "again in the same process, s")
    results = machine.Results("fixed_costs", {"what": "{}", **dict.fromkeys(columns, "{:.3f}")}, arguments)
    trainings = [training["seconds"] for training in (cold, warm, again)]
    before, after = ["imports", "load_fashion_mnist", "building"], ["epochs", "validation", "the call of train"]
    names = list(dict.fromkeys([*before, *TIMED, *(row for training in trainings for row in training)]))
    for row in [*(name for name in names if name not in after and name != "fit"), *after]:
        results.add(row, *(training.get(row, 0.0) for training in trainings))
    others = [sum(training.get(row, 0.0) for row in ("epochs", "validation", "features")) for training in trainings]
    fixed = [training["the call of train"] - other for training, other in zip(trainings, others, strict=True)]
    results.add("of which neither epochs, validation nor features", *fixed)
    results.check("test accuracy with an empty and a full cache", abs(cold["accuracy"] - warm["accuracy"]), 0.0)


if __name__ == "__main__":
    main()
