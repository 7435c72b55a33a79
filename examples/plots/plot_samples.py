"""
plot_samples(data)
==================

What the data look like: the first images of each class, also as augmentation will draw them.
"""

import transferkit as tk

data = tk.load_fashion_mnist(labels_per_class=100, validation=500)
_ = tk.plot_samples(data, per_class=8)

# %%
# Options: :func:`transferkit.plot_samples`.
