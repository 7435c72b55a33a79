"""
plot_roc(runs)
==============

How well two classes are told apart at every threshold, here shirts from T-shirts.
"""

import numpy as np

import transferkit as tk

data = tk.load_fashion_mnist(labels_per_class=100, validation=500)


def pick(split):
    rows = np.isin(split.labels, [0, 6])
    return split.images[rows], split.labels[rows] // 6


shirts = tk.Dataset.from_arrays(
    train=pick(data.train),
    test=pick(data.test),
    class_names=("T-shirt", "Shirt"),
    name="shirts",
)
runs = [
    tk.train(tk.build_baseline(name), shirts, name=name, verbose=False)
    for name in ("random_forest", "naive_bayes", "logistic_regression")
]
_ = tk.plot_roc(runs)

# %%
# Options: :func:`transferkit.plot_roc`.
