"""
comparison.plot()
=================

The whole result in one picture: test accuracy with 95% intervals above, accuracy and loss by epoch below.
"""

import transferkit as tk

comparison = tk.compare_runs(tk.load_runs("../../docs/results/quick"))
_ = comparison.plot()

# %%
# Options: :meth:`transferkit.Comparison.plot`.
