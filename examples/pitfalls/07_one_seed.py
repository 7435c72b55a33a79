"""
One training against one training
=================================

**The trap:** recipe A is trained once, recipe B is trained once, B is better by a point, so "B is the better recipe". With
another seed it would have been A.
"""

import functools

import numpy as np

import transferkit as tk

data = tk.load_fashion_mnist(labels_per_class=30, validation=500)
print(data)

# %%
# Two recipes, six seeds each
# ---------------------------
#
# Two small networks on 300 images: one hidden layer of 64 units, or of 80. The seed decides the initial weights and the
# order of the images, nothing else.

options = {"max_iter": 20}
small = functools.partial(tk.build_baseline, "mlp", hidden_layer_sizes=(64,), **options)
large = functools.partial(tk.build_baseline, "mlp", hidden_layer_sizes=(80,), **options)
runs_64 = tk.repeat(small, data, seeds=range(6), name="64 units", verbose=False)
runs_80 = tk.repeat(large, data, seeds=range(6), name="80 units", verbose=False)

for runs in (runs_64, runs_80):
    print(f"{runs[0].name}:", *(f"{run.metrics['accuracy']:.1%}" for run in runs))

# %%
# Every dot is one training. *Observe* how far apart the dots of one recipe lie, compared with the distance between the two.

_ = tk.plot_accuracy([*runs_64, *runs_80])

# %%
# Fall into it
# ------------
#
# Suppose each recipe had been trained once. There are 6 x 6 pairs that could have happened. How often would you have said what?

a = np.array([run.metrics["accuracy"] for run in runs_64])
b = np.array([run.metrics["accuracy"] for run in runs_80])
differences = 100 * (b[None, :] - a[:, None])
print(f"80 units wins in {(differences > 0).sum()} of {differences.size} pairs")
print(f"80 units minus 64 units: from {differences.min():+.1f} to {differences.max():+.1f} points")

# %%
# A significance test does not save you
# -------------------------------------
#
# McNemar's test asks whether two *trained models* differ on images like these. Take one recipe and two of its seeds, the worst
# and the best:

worst, best = runs_64[int(a.argmin())], runs_64[int(a.argmax())]
comparison = tk.compare_runs({f"seed {worst.seed}": worst, f"seed {best.seed}": best})
print(comparison.tests.loc[0, ["difference", "p", "verdict"]])
print(comparison.verdict)

# %%
# It is right: the two models do differ. But the recipe that made them is the same. Therefore every comparison of single runs ends
# with the sentence that you see here: it compares the trained models, *not the recipes*.
#
# What transferkit does
# ---------------------
#
# Give ``compare_runs`` all seeds: runs of one name are one model. It then reports mean and standard deviation, and its test
# counts both kinds of luck, that of the seeds and that of the test images. *Observe* the verdict on the two recipes.

comparison = tk.compare_runs([*runs_64, *runs_80], baseline="64 units")
print(comparison)

# %%
# **Do this instead:** ``tk.repeat(build, data, seeds=range(5))`` for each recipe, the same number of seeds for each. Look at
# the smallest detectable difference before you start training: five seeds may miss what is smaller.
#
# Bouthillier, X. et al. (2021). Accounting for variance in machine learning benchmarks. *MLSys*.
# `arXiv:2103.03098 <https://arxiv.org/abs/2103.03098>`_.
