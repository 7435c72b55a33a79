"""
Convolution: filters, by hand and learned
=========================================

A convolution slides a small filter over an image. At each place it multiplies the pixels by the weights of the filter and adds
up. For decades people chose the weights. A convolutional network learns them.
"""

import transferkit as tk
import keras
import numpy as np
import pandas as pd

data = tk.load_fashion_mnist(labels_per_class=100, validation=500)
garment = data.test.images[1]  # a pullover

# %%
# One number, by hand
# -------------------
#
# The Sobel filter compares what is right of a pixel with what is left of it. Put it on one place of the image:

filters = tk.hand_designed_filters()
sobel = filters["sobel_x"]
patch = garment[12:15, 3:6, 0].astype(int)  # three rows and columns around row 13, column 4: the edge of a sleeve
print(sobel)
print(patch)
print("sum of the products:", (sobel * patch).sum())

# %%
# ``filter_images`` does it at every place. Row 13, column 4 of its output is the same number:

response = tk.filter_images(garment[None], sobel)
print(response.shape, response[0, 13, 4, 0])

# %%
# Filters that people designed
# ----------------------------
#
# White weights add, black ones subtract, grey ones are near zero. The nine weights of the blur are equal, so it is all white.

_ = tk.plot_filters(filters)

# %%
# What they find in the same garment. Grey is zero wherever a filter can answer below zero.

maps = {"image": garment[..., 0]}
maps |= {name: tk.filter_images(garment[None], kernel)[0, ..., 0] for name, kernel in filters.items()}
_ = tk.plot_feature_maps(maps, columns=3)

# %%
# *Observe:* ``sobel_x`` finds the sides of the sleeves, white where it gets brighter from left to right and black where it gets darker;
# ``sobel_y`` finds shoulders and hem; the Laplacian finds every edge and fine line; the blur removes them; sharpening makes them stronger.
#
# How large is the output?
# ------------------------
#
# A filter of size *k* fits *n - k + 1* times into *n* pixels. Then each side has
#
# * ``"valid"``, only places where the filter fits: ``(n - k) // stride + 1``
# * ``"same"``, zeros are added around the image: ``ceil(n / stride)``
#
# A *stride* of 2 goes two pixels at a time. Ask Keras:

rows = []
for padding in ("valid", "same"):
    for size in (3, 5):
        for stride in (1, 2):
            layer = keras.layers.Conv2D(32, size, strides=stride, padding=padding)
            rows.append((padding, size, stride, layer.compute_output_shape((None, 28, 28, 1))[1:]))
print(pd.DataFrame(rows, columns=["padding", "filter", "stride", "output for 28 x 28"]).to_string(index=False))

# %%
# How many parameters?
# --------------------
#
# A filter has one weight for each place and each input channel, and one bias: ``(5 * 5 * inputs + 1) * filters``. The size of the image
# does not appear in it, because the same filter is used everywhere. A dense layer needs a weight for each pixel and each output.

for inputs, count in ((1, 32), (32, 64)):
    layer = keras.layers.Conv2D(count, 5)
    layer.build((None, 28, 28, inputs))
    print(f"5x5 convolution, {inputs} -> {count} channels: (25 x {inputs} + 1) x {count} = {layer.count_params():,}")
dense = keras.layers.Dense(24 * 24 * 32)
print(f"a dense layer from 28 x 28 pixels to the same 24 x 24 x 32 outputs: {(28 * 28 + 1) * dense.units:,}")

# %%
# Pooling
# -------
#
# *Max pooling* keeps the largest of each 2 x 2 pixels. It has no parameters. What remains is *whether* something was found in this corner,
# and no longer exactly where; the map gets four times smaller.

edges = np.abs(response[0, ..., 0])
pooled = edges.reshape(14, 2, 14, 2).max(axis=(1, 3))
print(edges.shape, "->", pooled.shape)
_ = tk.plot_feature_maps({"edges, 28 x 28": edges, "pooled, 14 x 14": pooled})

# %%
# Filters that a network learned
# ------------------------------
#
# A network begins with random filters and changes them so that the loss falls. Nobody tells it about edges. Sixteen filters of 5 x 5,
# before training:

model = tk.build_cnn(filters=(16, 32))
_ = tk.plot_filters(tk.conv_filters(model), title="before")

# %%
# And after a few epochs on 1,000 images:

run = tk.train(model, data, epochs=10, verbose=False)
print(f"test accuracy {run.metrics['accuracy']:.1%}")
_ = tk.plot_filters(tk.conv_filters(model), title="after")

# %%
# What they find in the garment, after the ReLU (black is zero; all on one scale):

_ = tk.plot_feature_maps(tk.layer_outputs(model, garment[None], "conv1")[0])

# %%
# *Observe:* some maps are bright at edges of one direction, like the Sobel filters; some keep the whole garment, like the blur; some
# find the background or nothing. The network had only 1,000 images, so its filters are still rough. One difference to the filters that
# people designed matters more than their shape: the second layer looks at all sixteen maps at once, and finds corners and collars in
# them.

_ = tk.plot_feature_maps(tk.layer_outputs(model, garment[None], "conv2")[0])

# %%
# How to look into deeper layers is the topic of another page of this course. The classic work is Zeiler, M. D. & Fergus, R. (2014).
# Visualizing and understanding convolutional networks. `arXiv:1311.2901 <https://arxiv.org/abs/1311.2901>`_.
