"""
plot_worst_errors(run, data)
============================

Where a model is wrong and sure of it, which is often where a label is wrong.
"""

import transferkit as tk

data = tk.load_fashion_mnist(labels_per_class=100, validation=500)
run = tk.load_run("../../docs/results/quick/mobilenet-fine-tuned")
_ = tk.plot_worst_errors(run, data, count=8)

# %%
# Options: :func:`transferkit.plot_worst_errors`.
