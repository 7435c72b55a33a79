"""
plot_confused_pairs(run)
========================

Which classes are taken for which: the pairs that hold most errors.
"""

import transferkit as tk

run = tk.load_run("../../docs/results/quick/cnn")
_ = tk.plot_confused_pairs(run)

# %%
# Options: :func:`transferkit.plot_confused_pairs`.
