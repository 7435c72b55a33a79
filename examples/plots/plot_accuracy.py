"""
plot_accuracy(runs)
===================

Which model is right most often, and how sure is that: test accuracy with a 95% interval.
"""

import transferkit as tk

runs = tk.load_runs("../../docs/results/quick")
_ = tk.plot_accuracy(runs, order="accuracy")

# %%
# Options: :func:`transferkit.plot_accuracy`.
