"""
The convolutional network of the course
=======================================

Two convolutions, each followed by pooling, then two dense layers: the network that the course uses for MNIST. Here it is built, counted,
trained and evaluated on Fashion-MNIST.
"""

import transferkit as tk

model = tk.build_cnn()
model.summary()

# %%
# Follow one image through it:
#
# ============  ==========================================  ==============
# layer         what it does                                output
# ============  ==========================================  ==============
# rescaling     divides by 255                              28 x 28 x 1
# conv1         32 filters of 5 x 5, "valid", ReLU          24 x 24 x 32
# pool1         the largest of 2 x 2                        12 x 12 x 32
# conv2         64 filters of 5 x 5 x 32, "valid", ReLU     8 x 8 x 64
# pool2         the largest of 2 x 2                        4 x 4 x 64
# flatten       one row of numbers                          1,024
# dense         128 units, ReLU                             128
# dropout       sets half of them to zero, in training      128
# predictions   softmax: ten probabilities                  10
# ============  ==========================================  ==============
#
# The number of parameters, by hand
# ---------------------------------
#
# Weights and one bias for each filter or unit:

by_hand = {
    "conv1": (5 * 5 * 1 + 1) * 32,
    "conv2": (5 * 5 * 32 + 1) * 64,
    "dense": (4 * 4 * 64 + 1) * 128,
    "predictions": (128 + 1) * 10,
}
for name, count in by_hand.items():
    print(f"{name:12} {count:8,}  Keras: {model.get_layer(name).count_params():8,}")
print(f"{'all':12} {sum(by_hand.values()):8,}  Keras: {model.count_params():8,}")

# %%
# *Observe:* most parameters are in the first dense layer, though most of the arithmetic is in the second convolution.
#
# Training
# --------
#
# 100 images of each class and 500 for validation, so that this page is made in seconds. With ``load_fashion_mnist()`` it is all 50,000.

data = tk.load_fashion_mnist(labels_per_class=100, validation=500)
run = tk.train(model, data, epochs=30, batch_size=32, name="CNN", verbose=False)
print(run)
print(
    run.history_frame()[["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]]
    .round(3)
    .iloc[::3]
    .to_string(index=False)
)

# %%
# An *epoch* is one pass over the training images. ``train`` measured the validation images after each, and the model now has the weights
# of the epoch with the best validation accuracy. The test images were predicted once, at the end.

print("chosen epoch:", run.selected_epoch)

# %%
# Learning curves
# ---------------

_ = tk.plot_curves(run)

# %%

_ = tk.plot_curves(run, "loss")

# %%
# *Observe:* the training curve goes on improving. The validation accuracy improves fast, then hardly, and the validation loss begins
# to rise: the network learns its 1,000 images by heart, which is called *overfitting*. It shows in the loss before it shows in the
# accuracy, because a network that is sure of everything pays more for each error. (The training curve is measured with dropout, so at
# the beginning it can be the lower one.)
#
# Evaluation
# ----------
#
# The gap between training and test images, both without dropout, says how much the network overfits:

print(f"training accuracy {run.train_accuracy:.1%}, test accuracy {run.metrics['accuracy']:.1%}")
print(f"gap {100 * run.overfit_gap:.1f} points")

# %%
# ``run.metrics`` holds the test results. ``evaluate`` computes the same for any model and split:

evaluation = tk.evaluate(model, data.validation)
print({name: round(evaluation.metrics[name], 3) for name in ("accuracy", "loss", "f1_macro")})

# %%
# Where it is wrong and most sure of it:

_ = tk.plot_worst_errors(run, data)

# %%
# Against overfitting
# -------------------
#
# More images help most. If there are none, *augmentation* makes new ones of the old: a mirrored shirt is still a shirt, and so is one
# moved by two pixels. Each epoch sees other versions, so it is hard to learn them by heart. A run of
# the same network on the same images, with flips, label smoothing, a falling learning rate and twice the epochs, was made by
# ``python examples/assignment.py``:

augmented = next(each for each in tk.load_runs("../../docs/results/quick") if each.name == "CNN")
for name, each in (("this page", run), ("augmented", augmented)):
    print(f"{name:10} {len(each.history)} epochs, test accuracy {each.metrics['accuracy']:.1%}", end=", ")
    print(f"gap {100 * each.overfit_gap:.1f} points, test loss {each.metrics['loss']:.2f}")

# %%
# *Observe:* accuracy, gap and loss. Four things changed at once, so this does not show what flips alone did. Change one thing at a
# time, and look at the validation accuracy.
#
# The same with a newer recipe
# ----------------------------
#
# ``build_cnn(preset="modern")`` is a network of about the same size, made as networks are made today: small 3 x 3 filters, batch
# normalisation, the average over the whole map instead of a large dense layer.

modern = tk.build_cnn(preset="modern")
print(f"{model.count_params():,} parameters against {modern.count_params():,}")

# %%
# Both were trained on all 60,000 images with flips, shifts and label smoothing, by ``python examples/assignment.py --full`` and
# ``python examples/model_zoo.py --only "CNN, modern"``: the course's network once, for 30 epochs; the modern one three times, for 60,
# with erasing as well, and asked for each image and its mirror image.

records = ("full/cnn", *(f"model_zoo/cnn-modern-seed-{seed}" for seed in range(3)))
both = tk.compare_runs([tk.load_run(f"../../docs/results/{record}") for record in records])
print(both.table[["accuracy", "accuracy_low", "accuracy_high", "seeds", "train_seconds"]].round(4).to_string())
print(both.sentence())

# %%
# *Observe:* the other architecture, with a recipe that suits it, is far ahead. More than one thing differs, so this does not show what the
# layers alone did; and the two machines were not the same, so do not read much into the times. Page :doc:`09_many_models` sets it beside
# a fine-tuned MobileNet.

# %%
# LeCun, Y., Bottou, L., Bengio, Y. & Haffner, P. (1998). Gradient-based learning applied to document recognition. *Proceedings of
# the IEEE* 86(11). `doi:10.1109/5.726791 <https://doi.org/10.1109/5.726791>`_.
