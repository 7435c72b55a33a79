"""How many labels does pretraining save? The same MobileNet, pretrained and from scratch, at 10 to 1,000 labels per class.

    python examples/label_efficiency.py                                  # frozen and from scratch, 10 and 30 labels per class
    python examples/label_efficiency.py --budgets 10 30 100 300 1000     # the whole curve of these two
    python examples/label_efficiency.py --arms frozen fine-tuned scratch --budgets 10 30 100 300 1000   # everything

The frozen arm costs seconds a run once its features are computed; the two others train all of MobileNet. Images that one
run of them sees, at 10, 30, 100, 300 and 1,000 labels per class: fine-tuned 4,100, 8,100, 17,000, 33,000 and 70,000; from
scratch 8,000, 15,600, 32,000, 60,000 and 120,000. Three seeds each. On one slow core a frozen run took 1 to 12 seconds, a fine-tuned
one 1, 2, 4 and 7 minutes at 10, 30, 100 and 300 labels, and one from scratch 2, 3 and 8 minutes at 10, 30 and 100.

Everything is saved under ``results/labels``; running it again, with more arms or budgets, finds finished runs and goes on where
a killed one stopped. Validation is left out: its labels would not be in the budget. So nothing is chosen, and the last
epoch counts.
"""

import argparse
from functools import partial
from pathlib import Path

import transferkit as tk

parser = argparse.ArgumentParser(description="MobileNet on few labels: pretrained against from scratch.")
parser.add_argument("--arms", nargs="+", choices=["frozen", "fine-tuned", "scratch"], default=["frozen", "scratch"])
parser.add_argument("--budgets", nargs="+", type=int, default=[10, 30], metavar="N", help="labels per class")
parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED")
parser.add_argument("--jobs", type=int, default=1, help="how many runs at once")
parser.add_argument("--folder", type=Path, default=Path("results") / "labels", help="where runs and report are saved")
parser.add_argument("--language", choices=["en", "ko"], default="en", help="language of the report")
arguments = parser.parse_args()


def passes(labels_per_class: int) -> int:
    """Return how often all images are seen: more often where they are few, 40 times at 10 labels and 6 times at 1,000."""
    return max(6, round(40 * (10 / labels_per_class) ** 0.4))


def recipe(labels_per_class: int, *, times: int) -> dict[str, object]:
    """Return one recipe for all steps of an optimiser, longer by `times`; nothing in it was tuned."""
    return {
        "epochs": times * passes(labels_per_class),
        "batch_size": 32,
        "schedule": "cosine",
        "warmup_epochs": 0.5,
        "augment": ("flip", "shift"),
        "label_smoothing": 0.1,
    }


pretrained = partial(tk.build_transfer_model, "mobilenet", pretrained=True)
scratch = partial(tk.build_transfer_model, "mobilenet", pretrained=False)
names = {"frozen": "pretrained, frozen", "fine-tuned": "pretrained, fine-tuned", "scratch": "from scratch"}
arms = {
    "frozen": tk.Arm(pretrained, options={"head": "logistic"}),
    "fine-tuned": tk.Arm(pretrained, method="fine_tune", options=partial(recipe, times=1)),
    "scratch": tk.Arm(scratch, options=partial(recipe, times=2)),
}

tk.train_label_budgets(
    {names[arm]: arms[arm] for arm in arguments.arms},
    tk.load_fashion_mnist(validation=0),
    labels_per_class=arguments.budgets,
    seeds=arguments.seeds,
    folder=arguments.folder,
    n_jobs=arguments.jobs,
)

# Whatever is finished in the folder by now, of this call and of earlier ones.
runs = tk.load_runs(arguments.folder)
baseline = names["scratch"] if any(run.name == names["scratch"] for run in runs) else runs[0].name
curve = tk.efficiency_curve(runs, baseline=baseline)
print(curve)

(arguments.folder / "report.md").write_text(curve.to_markdown(arguments.language), encoding="utf-8")
curve.points.to_csv(arguments.folder / "points.csv", index=False)  # one row a run
curve.differences.to_csv(arguments.folder / "differences.csv", index=False)
curve.plot(language=arguments.language).figure.savefig(arguments.folder / "curve.png", dpi=150, bbox_inches="tight")
print(f"\nSaved: {arguments.folder}/report.md, points.csv, differences.csv, curve.png, and the runs")
