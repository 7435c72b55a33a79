"""
plot_reliability(run)
=====================

Whether a model is as right as it is sure: accuracy by confidence, on the diagonal if so.
"""

import transferkit as tk

run = tk.load_run("../../docs/results/quick/mobilenet-from-scratch")
_ = tk.plot_reliability(run)

# %%
# Options: :func:`transferkit.plot_reliability`.
