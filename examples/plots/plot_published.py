"""
plot_published(runs, published)
===============================

Your accuracies beside published ones, which have no interval and show what is claimed.
"""

import transferkit as tk

runs = tk.load_runs("../../docs/results/model_zoo")
published = tk.published_results("fashion_mnist")
_ = tk.plot_published(runs, published[published["source"] == "course"])

# %%
# Options: :func:`transferkit.plot_published`.
