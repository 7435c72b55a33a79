"""
Accuracy on training images
===========================

**The trap:** two models are compared by their accuracy on the images that they were trained with. The model that knows the
training images by heart wins. It may be the worse one on new images.
"""

from dataclasses import replace

import transferkit as tk

data = tk.load_fashion_mnist(labels_per_class=50, validation=500)
data = replace(data, test=tk.Split(data.test.images[:2000], data.test.labels[:2000]))
print(data)

# %%
# Fall into it
# ------------
#
# Four classical models on 500 images. The table sorts them by training accuracy, as the progress bar of ``fit`` would.

models = {
    "nearest image": tk.build_baseline("k_nearest_neighbors", n_neighbors=1),
    "one tree": tk.build_baseline("random_forest", n_estimators=1, bootstrap=False),
    "logistic regression": tk.build_baseline("logistic_regression", C=0.1),
    "shallow forest": tk.build_baseline("random_forest", max_depth=8, n_estimators=100),
}
runs = [tk.train(model, data, name=name, verbose=False) for name, model in models.items()]
for run in sorted(runs, key=lambda run: run.train_accuracy, reverse=True):
    print(f"{run.name:>20}: training {run.train_accuracy:.1%}")

# %%
# Now the test images
# -------------------

for run in sorted(runs, key=lambda run: run.metrics["accuracy"], reverse=True):
    print(f"{run.name:>20}: test {run.metrics['accuracy']:.2%}, training {run.train_accuracy:.2%}")

# %%
# *Observe:* the two that are perfect in training are not the best on the test images. A single tree and the nearest image store
# the training images; of course they recognise them.
#
# The same with networks
# ----------------------
#
# Four networks from the saved runs of this site, trained on 1,000 images of Fashion-MNIST (``examples/assignment.py``).

saved = tk.load_runs("../../docs/results/quick")
for run in sorted(saved, key=lambda run: run.train_accuracy, reverse=True):
    print(f"{run.name:>24}: test {run.metrics['accuracy']:.2%}, training {run.train_accuracy:.2%}")

# %%
# What transferkit does
# ---------------------
#
# The tables of ``compare_runs`` hold test results. Training accuracy appears only as the *overfit gap*: training minus test.

table = tk.compare_runs(runs).table
print((100 * table[["accuracy", "overfit_gap"]]).round(2))

# %%
# **Do this instead:** compare on test images, once, at the end. Training accuracy is useful for one thing: a model that is bad on its
# *training* images is too small, trained too briefly, or broken. A model that is good there tells you nothing about new images yet.
