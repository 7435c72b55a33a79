"""
plot_feature_maps(maps)
=======================

What the filters of a layer find in one image: one map a filter, bright where it fits.
"""

import transferkit as tk

data = tk.load_fashion_mnist(labels_per_class=100, validation=500)
mobilenet = tk.build_transfer_model("mobilenet")
maps = tk.layer_outputs(mobilenet, data.test.images[:1], "conv_pw_1_relu")
_ = tk.plot_feature_maps(maps[0, :, :, :32], title="A boot after the first block of MobileNet")

# %%
# Options: :func:`transferkit.plot_feature_maps`.
