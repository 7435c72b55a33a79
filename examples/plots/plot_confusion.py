"""
plot_confusion(run)
===================

What becomes of each class: the truth on the rows, the prediction on the columns.
"""

import transferkit as tk

run = tk.load_run("../../docs/results/quick/cnn")
_ = tk.plot_confusion(run)

# %%
# Options: :func:`transferkit.plot_confusion`.
