"""The nine models of the course on Fashion-MNIST, and four more, as a chart beside the values that the course shows.

    python examples/model_zoo.py --quick        # 100 images of each class: minutes
    python examples/model_zoo.py                # all 60,000 training images: six to seven hours without a GPU
    python examples/model_zoo.py --only "Naive Bayes" "Random forest"

Minutes of one seed on one or two slow cores, prediction included: MLP 0.5, naive Bayes 1, XGBoost 5, gradient boosting 6, logistic
regression 8, random forest 11, CNN 14 to 22, k-nearest neighbours 17, SVM 26, MobileNet 40 and 56, GoogLeNet 94 (one core). Modern CNN, on
two faster ones: 24.

Each seed of each model is saved under ``results/``; running it again finds finished runs, goes on where a killed one stopped,
and draws the chart of all there are. Recipes are fixed beforehand, and each run predicts the test images once; the modern CNN
predicts their mirror images too, and its runs before that are kept beside the folder.
"""

import argparse
from functools import partial
from pathlib import Path

import transferkit as tk
from transferkit.errors import TransferKitError

parser = argparse.ArgumentParser(description="The course's models on Fashion-MNIST.")
parser.add_argument("--quick", action="store_true", help="learn from 100 images of each class")
parser.add_argument("--only", nargs="+", metavar="NAME", help="train these models only")
parser.add_argument("--folder", type=Path, help="where runs, chart and reports are saved")
parser.add_argument("--language", choices=["en", "ko"], default="en", help="language of chart and report")
arguments = parser.parse_args()

quick = arguments.quick
folder = arguments.folder or Path("results") / ("model_zoo_quick" if quick else "model_zoo")
data = tk.load_fashion_mnist(labels_per_class=100, validation=500) if quick else tk.load_fashion_mnist(validation=0)
print(data)

# What chance has no part in needs one seed; the expensive networks get one, and their intervals say so.
one, three = (0,), (0, 1, 2)
recipe = {"schedule": "cosine", "augment": ("flip", "shift"), "label_smoothing": 0.1}
baseline = partial(partial, tk.build_baseline)
mobilenet = partial(tk.build_transfer_model, "mobilenet")
mobilenet_96 = partial(tk.build_transfer_model, "mobilenet", image_size=96)
modern_cnn = partial(tk.build_cnn, preset="modern")
googlenet = partial(tk.build_googlenet, width=0.5)
# The best of six settings on 10,000 validation images, trained for longer here; answers for mirror images are averaged in.
long = {"epochs": 60, "batch_size": 128, "learning_rate": 3e-3, "warmup_epochs": 1, "matmul_precision": "auto"}
long |= recipe | {"augment": ("flip", "shift", "erase"), "tuning_trials": 6}

# Name, what builds it, its seeds, options of its training; the cheapest first.
MODELS = [
    ("Naive Bayes", baseline("naive_bayes"), one, {}),
    ("k-nearest neighbours", baseline("k_nearest_neighbors"), one, {}),
    ("Logistic regression", baseline("logistic_regression"), one, {}),
    ("Random forest", baseline("random_forest"), three, {}),
    ("XGBoost", baseline("xgboost"), three, {}),
    ("MLP", baseline("mlp"), three, {}),
    ("SVM", baseline("svm"), one, {}),
    ("Gradient boosting", baseline("gradient_boosting"), one, {}),
    ("CNN", tk.build_cnn, three, {"epochs": 20 if quick else 30, **recipe}),
    ("CNN, modern", modern_cnn, three, long),
    ("GoogLeNet", googlenet, one, {"epochs": 10, "learning_rate": 2e-3, "warmup_epochs": 0.5, **recipe}),
    ("MobileNet", mobilenet, one, {"method": "fine_tune", "epochs": 3 if quick else 7, **recipe}),
    ("MobileNet, 96 px", mobilenet_96, one, {"method": "fine_tune", "epochs": 3 if quick else 9, **recipe}),
]
unknown = set(arguments.only or ()) - {name for name, *_ in MODELS}
if unknown:
    parser.error(f"no model is called {', '.join(sorted(unknown))}; there are {', '.join(name for name, *_ in MODELS)}")

for name, build, seeds, options in MODELS:
    if arguments.only and name not in arguments.only:
        continue
    averages = build is modern_cnn
    trained = Path(f"{folder.resolve()}_before_averaging") if averages else folder
    try:
        runs = tk.repeat(build, data, seeds=seeds, name=name, folder=trained, verbose=False, **options)
        if averages:
            averaged = [tk.average_flips(run, data, name=name) for run in runs]
            for before, run in zip(runs, averaged, strict=True):
                run.save(folder / before.path.name, replace=True)
            runs = averaged
    except TransferKitError as error:  # of one model; the others go on
        print(f"{name}: left out. {error}")
        continue
    completed = [run for run in runs if run.status == "completed"]
    accuracies = ", ".join(f"{run.metrics['accuracy']:.4f}" for run in completed)
    cost = sum(run.train_seconds + run.test_seconds for run in completed)
    print(f"{name}: accuracy {accuracies or 'none, it diverged'}; {cost:,.0f} s of training and prediction", flush=True)

comparison = tk.compare_runs([run for run in tk.load_runs(folder) if run.status == "completed"])
print(comparison)
published = tk.published_results("fashion_mnist")
chart = tk.plot_published(comparison, published[published["source"] == "course"], language=arguments.language)
chart.figure.savefig(folder / "chart.png", dpi=150, bbox_inches="tight")
(folder / "report.md").write_text(comparison.to_markdown(language=arguments.language), encoding="utf-8")
comparison.to_html(folder / "report.html", language=arguments.language, images=data)
print(f"Saved: {folder}/chart.png, report.md, report.html and the runs")
