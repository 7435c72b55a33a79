"""
plot_feature_space(features, labels, class_names)
=================================================

Which images a network finds alike: its features in two dimensions, here of 500 garments that MobileNet was never told the names of.
"""

import transferkit as tk

data = tk.load_fashion_mnist(labels_per_class=100, validation=500)
mobilenet = tk.build_transfer_model("mobilenet")
features = tk.layer_outputs(mobilenet, data.test.images[:500], "pool")
_ = tk.plot_feature_space(features, data.test.labels[:500], data.class_names)

# %%
# Options: :func:`transferkit.plot_feature_space`.
