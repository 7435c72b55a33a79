"""
plot_disagreements(run_a, run_b, data)
======================================

On which images two models differ: right with one, wrong with the other.
"""

import transferkit as tk

data = tk.load_fashion_mnist(labels_per_class=100, validation=500)
cnn = tk.load_run("../../docs/results/quick/cnn")
tuned = tk.load_run("../../docs/results/quick/mobilenet-fine-tuned")
_ = tk.plot_disagreements(cnn, tuned, data, count=6)

# %%
# Options: :func:`transferkit.plot_disagreements`.
