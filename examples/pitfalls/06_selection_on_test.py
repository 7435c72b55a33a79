"""
The best one, chosen on the test set
====================================

**The trap:** train many times (seeds, epochs, learning rates, models), look at the test accuracy of each, and report the best.
The best one is partly good and partly lucky on these test images. The luck does not come along to new images.
"""

import functools
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

import transferkit as tk

data = tk.load_fashion_mnist(labels_per_class=30, validation=500)
data = replace(data, test=tk.Split(data.test.images[:4000], data.test.labels[:4000]))
print(data)

# %%
# Twenty trainings of one recipe
# ------------------------------
#
# A random forest with 10 trees is trained with 20 seeds. They are the same recipe; only luck makes them differ. The 4,000
# test images are so many that the accuracies on all of them are close to the truth.

build = functools.partial(tk.build_baseline, "random_forest", n_estimators=10)
runs = tk.repeat(build, data, seeds=range(20), name="forest", verbose=False)
right = np.stack([run.test_correct for run in runs])  # shape (20, 4000)
truth = right.mean(axis=1)
print(f"accuracy on 4,000 test images: mean {truth.mean():.1%}, from {truth.min():.1%} to {truth.max():.1%}")

# %%
# Fall into it
# ------------
#
# Now act as if only ``size`` test images existed: draw them, take the run that is best on them, and note two numbers: its
# accuracy on the images that chose it, and its accuracy on all the others. The second is what a user will see. Repeat
# that 300 times with other images.

rng = np.random.default_rng(0)


def choose_best(tries, size):
    """Return the accuracy that would be reported, and the one on other images, both averaged over 300 draws."""
    reported, real = [], []
    for _ in range(300):
        order = rng.permutation(right.shape[1])
        seen, other = order[:size], order[size:]
        candidates = right[rng.permutation(len(right))[:tries]]
        best = candidates[candidates[:, seen].mean(axis=1).argmax()]
        reported.append(best[seen].mean())
        real.append(best[other].mean())
    return np.mean(reported), np.mean(real)


all_tries, sizes = (1, 2, 5, 10, 20), (100, 300, 1000)
optimism = {}
for size in sizes:
    for tries in all_tries:
        reported, real = choose_best(tries, size)
        optimism[size, tries] = 100 * (reported - real)
        print(f"best of {tries:>2} on {size:>5,} images: reported {reported:.1%}, really {real:.1%}")

# %%
# *Observe:* with one try, reported and real agree. With more tries both rise, since some runs really are a little
# better, but the report rises faster than the model. The fewer the images, the larger the gap.

figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
for size in sizes:
    axes.plot(all_tries, [optimism[size, tries] for tries in all_tries], marker="o", label=f"{size:,} test images")
axes.set(xlabel="Trainings, of which the best is reported", ylabel="Too high by (points)", xticks=all_tries)
axes.grid(alpha=0.3)
_ = axes.legend()

# %%
# The same happens when the best *epoch* is chosen on test images, or a learning rate, or a model: each is one more try. More
# test images make the mistake smaller, never zero.
#
# What transferkit does
# ---------------------
#
# ``train`` chooses the epoch on validation images and predicts the test images once, at the end. Each run records what chose it.
# (Settings that you tried in other runs it cannot know: write them down.) If your own training chose on test images, say so: the comparison then shows a
# banner and gives no verdict.

best, second = runs[int(truth.argmax())], runs[int(np.argsort(truth)[-2])]
history = {"accuracy": [0.9], "loss": [0.3]}  # of a training by your own fit
mine = tk.Run.from_history(
    history, name="mine", data=data, test_probabilities=best.test_probabilities, selection="test"
)
print(tk.compare_runs({"mine": mine, "other": second}).to_markdown().split("\n\n|")[0])

# %%
# The usual way into the trap is ``fit(..., validation_data=(x_test, y_test))`` with ``EarlyStopping`` or ``ModelCheckpoint``.
# transferkit notices when it is called validation: the validation loss is the test loss.

probabilities = best.test_probabilities
history = {"loss": [0.3], "val_loss": [best.metrics["loss"]]}
try:
    tk.Run.from_history(
        history,
        name="mine",
        data=data,
        test_probabilities=probabilities,
        selection="validation",
        selected_epoch=1,
    )
except tk.errors.InvalidInputError as error:
    print(error)

# %%
# **Do this instead:** choose on validation images, fix the recipe, then look at the test images once. Report how many
# settings you tried. And do not pick a seed: report all of them.
#
# Recht, B., Roelofs, R., Schmidt, L. & Shankar, V. (2019). Do ImageNet classifiers generalize to ImageNet? *ICML*.
# `arXiv:1902.10811 <https://arxiv.org/abs/1902.10811>`_.
