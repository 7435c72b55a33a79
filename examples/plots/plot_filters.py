"""
plot_filters(filters)
=====================

What a convolution looks for: white adds a pixel, black subtracts it, three channels are drawn in colour.
"""

import transferkit as tk

mobilenet = tk.build_transfer_model("mobilenet")
_ = tk.plot_filters(tk.conv_filters(mobilenet), title="MobileNet, first layer")

# %%
# Options: :func:`transferkit.plot_filters`.
