"""
plot_curves(runs)
=================

How training went: accuracy or loss by epoch, on training and validation images.
"""

import transferkit as tk

runs = tk.load_runs("../../docs/results/quick")
_ = tk.plot_curves(runs, "loss")

# %%
# Options: :func:`transferkit.plot_curves`.
