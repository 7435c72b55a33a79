"""
What networks see
=================

A convolutional network has no hand-designed filters: it learns its own. This page looks into two networks, a small CNN that is trained
here and MobileNet that others trained on ImageNet: what their filters are, what excites them, and on what they base their answer.
"""

import transferkit as tk
import keras
import numpy as np
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

data = tk.load_fashion_mnist(labels_per_class=100, validation=500)
cnn = tk.build_cnn()
run = tk.train(cnn, data, epochs=6, learning_rate=3e-3, name="CNN", verbose=False)
print(run)

# %%
# Learned filters
# ---------------
#
# The first layer of the CNN has 32 filters of 5 x 5 numbers. White adds a pixel, black subtracts it. *Observe:* some
# have a light and a dark side, like a hand-designed edge filter; others look like noise. The network saw 1,000 images
# for a few epochs, which is not enough to smooth them.

_ = tk.plot_filters(tk.conv_filters(cnn), title="CNN, first layer: 32 filters of 5 x 5")

# %%
# MobileNet's first filters were learned from more than a million photographs. They take three colour channels and are
# drawn in colour. *Observe:* edges in several directions, and spots of colour. Grey garments make no use of the colour
# ones.

mobilenet = tk.build_transfer_model("mobilenet")
_ = tk.plot_filters(tk.conv_filters(mobilenet), title="MobileNet, first layer: 32 filters of 3 x 3 x 3")

# %%
# Feature maps: what a filter finds
# ---------------------------------
#
# The output of a filter is again an image: bright where the filter fits. Here is one ankle boot after the first
# convolution of the CNN.

boot = data.test.images[:1]
maps = tk.layer_outputs(cnn, boot, "conv1")
print(boot.shape, "->", maps.shape)
_ = tk.plot_feature_maps(maps[0], title="CNN: the boot after the first convolution")

# %%
# And in MobileNet, first after one block of layers, then after five. *Observe:* early maps still show a boot. Later
# maps are coarse: they no longer say what the pixels are, but where something was found, and most of them are dark,
# because what they look for is not in this image.

early = tk.layer_outputs(mobilenet, boot, "conv_pw_1_relu")
late = tk.layer_outputs(mobilenet, boot, "conv_pw_5_relu")
print(early.shape, late.shape)
_ = tk.plot_feature_maps(early[0, :, :, :32], title="MobileNet, block 1: the first 32 of 64 maps")

# %%

_ = tk.plot_feature_maps(late[0, :, :, :32], title="MobileNet, block 5: the first 32 of 256 maps")

# %%
# What excites a feature
# ----------------------
#
# Zeiler and Fergus (2014) asked the opposite question: given a feature, which images excite it most, and which pixels
# of them? Take one feature of block 5, and the eight test images out of 500 to which it responds most strongly.

images = data.test.images[:500]
responses = tk.layer_outputs(mobilenet, images, "conv_pw_5_relu").max(axis=(1, 2))
feature = int(responses.std(axis=0).argmax())
strongest = responses[:, feature].argsort()[::-1][:8]
print("feature", feature, "is excited most by", [data.class_names[label] for label in data.test.labels[strongest]])
_ = tk.plot_feature_maps(np.moveaxis(images[strongest, :, :, 0], 0, -1), title=f"What excites feature {feature} most")

# %%
# Following the response back to the pixels shows what in these images does it. Light pixels would raise the response if
# they were brighter, dark ones if they were darker; the grey of the background does not matter. *Observe:* how much of
# each image counts? Is it the same kind of part each time?

excitation = tk.excitation_map(mobilenet, images[strongest], "conv_pw_5_relu", feature)
_ = tk.plot_feature_maps(np.moveaxis(excitation[..., 0], 0, -1), title="The pixels that do it")

# %%
# Zeiler and Fergus ran the network backwards through a *deconvolutional* network; the map here follows the gradient and
# keeps, at each ReLU, only what raises the response (guided backpropagation, Springenberg et al. 2015), which looks
# much the same.
#
# On what an answer rests: occlusion
# ----------------------------------
#
# Cover a part of the image with a grey square and look at how much probability the right class loses. Red parts carry
# the answer. No knowledge of the network's inside is needed, so this works with every classifier.

right = run.predictions_frame()["right"].to_numpy()
sure = run.predictions_frame()["probability"].to_numpy()
bag = np.flatnonzero(right & (sure < 0.9) & (data.test.labels == data.class_names.index("Bag")))[0]
drop = tk.occlusion_map(cnn, data.test.images[bag], data.test.labels[bag], size=6, stride=2)
print(f"probability of 'Bag': {sure[bag]:.2f}; the worst place for the square costs {drop.max():.2f}")
_ = tk.plot_occlusion(data.test.images[bag], drop)

# %%
# *Observe:* which part of the bag makes it a bag for this network? Try other images. If the red lies on the background,
# the network has learned something else than you meant it to.
#
# The map of images
# -----------------
#
# MobileNet's last layer before the output turns each image into 1,024 numbers. t-SNE (van der Maaten & Hinton 2008) draws images whose
# numbers are alike close together. Neither network below has ever seen a label of a garment: one was trained on
# ImageNet, the other has random weights. (Its batch normalisation needs mean and variance of each layer; it takes them from 50 of these
# images, as it would in its first step of training.)

names, labels = data.class_names, data.test.labels[:500]
pretrained = tk.layer_outputs(mobilenet, images, "pool")
_ = tk.plot_feature_space(pretrained, labels, names).set_title("MobileNet, pretrained on ImageNet")

# %%

scratch = tk.build_transfer_model("mobilenet", pretrained=False)
for layer in scratch.get_layer("backbone").layers:
    if isinstance(layer, keras.layers.BatchNormalization):
        layer.momentum = 0.0  # keep the statistics of the next batch as they are
scratch(images[:50], training=True)
random = tk.layer_outputs(scratch, images, "pool")
_ = tk.plot_feature_space(random, labels, names).set_title("MobileNet, random weights")

# %%
# *Observe:* which classes stand apart in the first picture, although the network was never told of them, and which stay
# mixed? And in the second? A picture can deceive, so count: how often has an image's nearest neighbour the same class?

pixels = images.reshape(len(images), -1)
for name, features in [("pretrained", pretrained), ("random weights", random), ("the pixels themselves", pixels)]:
    accuracy = cross_val_score(KNeighborsClassifier(1), features, labels, cv=5).mean()
    print(f"{name}: the nearest neighbour has the same class for {accuracy:.0%} of the images")

# %%
# *Observe:* what the pretrained network knows came from its training, not from its layers: random ones scramble the images. But look at
# the last line, too. All garments of Fashion-MNIST are centred and equally large, so that even pixels can be compared one by one; with
# photographs they cannot.
#
# The distance between two groups in a t-SNE picture means nothing, nor does the size of a group; only who is a
# neighbour of whom does.
#
# Zeiler, M. D. & Fergus, R. (2014). Visualizing and understanding convolutional networks. `arXiv:1311.2901
# <https://arxiv.org/abs/1311.2901>`_. -- Springenberg, J. T. et al. (2015). Striving for simplicity: the all
# convolutional net. `arXiv:1412.6806 <https://arxiv.org/abs/1412.6806>`_. -- van der Maaten, L. & Hinton, G. (2008).
# Visualizing data using t-SNE. *Journal of Machine Learning Research* 9.
