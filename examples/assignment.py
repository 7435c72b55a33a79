"""The assignment: a CNN and three MobileNets on Fashion-MNIST, and an honest comparison.

    python examples/assignment.py           # 100 images of each class; 7 minutes on two cores
    python examples/assignment.py --full    # all 60,000 training images, recipes fixed beforehand; four hours on two cores
    python examples/assignment.py --full --best    # and the most accurate network that two hours more give

Everything is saved under ``results/``; running it again finds finished runs and goes on where a killed one stopped.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import transferkit as tk

parser = argparse.ArgumentParser(description="CNN and MobileNet on Fashion-MNIST, compared.")
parser.add_argument("--full", action="store_true", help="train on all 60,000 training images")
parser.add_argument("--best", action="store_true", help="with --full: fine-tune all layers on 128 pixels as well")
parser.add_argument("--folder", type=Path, help="where runs, plots and reports are saved")
parser.add_argument("--language", choices=["en", "ko"], default="en", help="language of the report")
arguments = parser.parse_args()

full = arguments.full
folder = arguments.folder or Path("results") / ("full" if full else "quick")
start = time.perf_counter()


def step(text: str) -> None:
    """Say what comes next, and how long the script has been running."""
    print(f"\n[{time.perf_counter() - start:4.0f} s] {text}", flush=True)


# The quick version learns from few images, where pretraining should help most, and chooses the best epoch on 500
# validation images. The full one uses every training image: then nothing is left to choose by, and the last epoch counts.
step("Data: Fashion-MNIST")
data = tk.load_fashion_mnist(validation=0) if full else tk.load_fashion_mnist(labels_per_class=100, validation=500)
print(data)

# Few images need small batches, or there would be too few steps; many leave time for shifts as well. What is not said is
# what the library chooses for a pretrained network. Of at most eight settings for each network, validation images chose.
kept = {"seed": 0, "folder": folder}
recipe = {"label_smoothing": 0.1, "schedule": "cosine", **kept}
if full:
    recipe["augment"] = ("flip", "shift")
    cnn_recipe = {"epochs": 30, **recipe}
    frozen_recipe = {"epochs": 10, "learning_rate": 3e-3, **recipe}
    tuned_recipe = {"epochs": 7, **recipe}
    scratch_recipe = {"epochs": 8, "warmup_epochs": 0.5, **recipe}
else:
    kept["tuning_trials"] = 8
    recipe |= {"augment": "flip", "batch_size": 32, **kept}
    cnn_recipe = {"epochs": 60, **recipe}
    frozen_recipe = kept
    tuned_recipe = recipe
    scratch_recipe = {"epochs": 15, **recipe}

step("Step 1. A convolutional network, trained from nothing")
cnn = tk.train(tk.build_cnn(), data, name="CNN", **cnn_recipe)

step("Step 2a. MobileNet, pretrained on ImageNet, frozen; only the new 10-way softmax layer learns")
model = tk.build_transfer_model("mobilenet", pretrained=True, freeze=True)
frozen = tk.train(model, data, name="MobileNet, frozen", **frozen_recipe)

step("Step 2b. The same network, fine-tuned: the new layer first, then all layers")
model = tk.build_transfer_model("mobilenet", pretrained=True)
fine_tuned = tk.fine_tune(model, data, name="MobileNet, fine-tuned", **tuned_recipe)

step("Step 2c. The same network from scratch: no pretrained weights")
model = tk.build_transfer_model("mobilenet", pretrained=False)
scratch = tk.train(model, data, name="MobileNet, from scratch", **scratch_recipe)
runs = [cnn, frozen, fine_tuned, scratch]

if full:  # added when the accuracies above were known; the recipes are those of benchmarks/time_to_accuracy.py
    build = partial(tk.build_transfer_model, "mobilenet", image_size=96)
    common = {"method": "fine_tune", "label_smoothing": 0.1, "matmul_precision": "auto", "folder": folder}
    upper = {"unfreeze_from": "conv_pw_6", "head_epochs": 0, "batch_size": 128, "learning_rate": 2e-3}
    upper |= {"augment": "flip", "tuning_trials": 16}  # chosen by validation: lower blocks frozen, what they give kept
    deep = {"augment": ("flip", "shift", "erase"), "tuning_trials": 2}
    for part, epochs, options in (("upper blocks", 5, upper), ("all layers", 11, deep)):
        step(f"Step 2d. Fine-tuned on 96 pixels, {part}, three seeds; each asked about mirror images too")
        name = f"MobileNet, {part}"
        seeds = tk.repeat(build, data, seeds=range(3), epochs=epochs, name=f"{name}, 96 px", **common, **options)
        for seed, run in enumerate(tk.average_flips(run, data, name=name) for run in seeds):
            run.save(folder / f"mobilenet-{part.replace(' ', '-')}-seed-{seed}", replace=True)
            runs.append(run)

if full and arguments.best:  # the third setting of all layers that was tried
    step("Step 2e. All layers on 128 pixels, as long as two hours allow; asked about mirror images too")
    model = tk.build_transfer_model("mobilenet", pretrained=True, image_size=128)
    best = {"augment": ("flip", "shift", "erase"), "label_smoothing": 0.1, "matmul_precision": "auto"}
    best |= {"tuning_trials": 3, "folder": folder, "save_as": "mobilenet-all-layers-128-px-seed-0"}
    best_run = tk.fine_tune(model, data, epochs=22, name="MobileNet, all layers, 128 px", **best)
    runs.append(tk.average_flips(best_run, data, name="MobileNet, 128 px"))
    runs[-1].save(folder / "mobilenet-128-px", replace=True)

step("Step 3. The comparison")
comparison = tk.compare_runs(runs, baseline="CNN")
print(comparison.to_text(arguments.language))

(folder / "report.md").write_text(comparison.to_markdown(language=arguments.language), encoding="utf-8")
comparison.to_html(folder / "report.html", language=arguments.language, images=data)
comparison.plot().savefig(folder / "comparison.png", dpi=150, bbox_inches="tight")
step(f"Saved: {folder}/report.md (paste it into the issue), report.html, comparison.png, and the runs")
