"""
plot_cost(runs)
===============

What accuracy costs: training time, prediction time or number of parameters.
"""

import transferkit as tk

runs = tk.load_runs("../../docs/results/model_zoo")
_ = tk.plot_cost(runs)

# %%
# Options: :func:`transferkit.plot_cost`.
