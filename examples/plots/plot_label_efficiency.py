"""
plot_label_efficiency(curve)
============================

How many labels a method needs: accuracy by the number of labelled images, with several seeds.
"""

from functools import partial

import transferkit as tk

data = tk.load_fashion_mnist(labels_per_class=100, validation=0)
arms = {
    "random forest": partial(tk.build_baseline, "random_forest", n_estimators=20),
    "naive Bayes": partial(tk.build_baseline, "naive_bayes"),
}
runs = tk.train_label_budgets(arms, data, labels_per_class=(10, 30, 100), verbose=False)
curve = tk.efficiency_curve(runs, baseline="naive Bayes")
_ = tk.plot_label_efficiency(curve)

# %%
# Options: :func:`transferkit.plot_label_efficiency`.
