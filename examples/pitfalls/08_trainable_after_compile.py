"""
Frozen, but not compiled again
==============================

**The trap:** ``trainable`` is changed after ``compile``, or on the wrong layers. Keras goes on with what it compiled; a backbone that
should rest learns, or one that should learn rests.
"""

import warnings

import transferkit as tk
import keras
import numpy as np
from keras import layers

data = tk.load_fashion_mnist(labels_per_class=50, validation=500)

# %%
# A small backbone, so that this page is quick; with MobileNet everything is the same.

keras.utils.set_random_seed(0)
small = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Conv2D(8, 3, strides=2, activation="relu", name="first"),
        layers.Conv2D(16, 3, strides=2, activation="relu", name="second"),
        layers.Conv2D(16, 3, strides=2, activation="relu", name="third"),
    ],
    name="small",
)
model = tk.build_transfer_model(small, freeze=False, preprocessing="unit")
backbone = model.get_layer("backbone")

# %%
# Fall into it: freeze after compile
# ----------------------------------
#
# Train for one epoch, freeze, and train on, with plain Keras. Has the backbone moved?


def fit_and_compare():
    """Fit one epoch, and say how far the backbone's weights moved and what Keras warned of."""
    before = [weight.numpy() for weight in backbone.weights]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(*data.train, batch_size=64, verbose=0)
    moved = max(np.abs(weight.numpy() - old).max() for weight, old in zip(backbone.weights, before, strict=True))
    print(f"backbone.trainable is {backbone.trainable}; its weights moved by up to {moved:.4f}")
    for message in caught:
        print("Keras:", message.message)


fit_and_compare()
backbone.trainable = False
fit_and_compare()

# %%
# Compiled again, it rests:

model.compile("adamw", "sparse_categorical_crossentropy", metrics=["accuracy"])
fit_and_compare()

# %%
# Fall into it: unfreeze after compile
# ------------------------------------
#
# The other way round is worse, since the result looks reasonable: "fine-tuning did not help".

backbone.trainable = True
fit_and_compare()

# %%
# Fall into it: the last 20 layers
# --------------------------------
#
# Many tutorials freeze everything but ``model.layers[-20:]``. But a backbone inside a model is *one* of its layers:

print([layer.name for layer in model.layers])
print("layers:", len(model.layers), "- so model.layers[-20:] is all of them, the whole backbone among them")

# %%
# The other habit is to freeze the backbone and to let one of its layers train again. Does it? The backbone says no.

backbone.trainable = False
backbone.get_layer("third").trainable = True
model.compile("adamw", "sparse_categorical_crossentropy", metrics=["accuracy"])
print("trainable weights, says the backbone:", len(backbone.trainable_weights))
fit_and_compare()

# %%
# *Observe:* it trains all the same. The backbone hides it, the model around it does not. And to set ``backbone.trainable = False`` once
# more does not help: it is False already, so Keras changes nothing.

backbone.trainable = False
model.compile("adamw", "sparse_categorical_crossentropy", metrics=["accuracy"])
fit_and_compare()

# %%
# What transferkit does
# ---------------------
#
# ``freeze`` and ``unfreeze`` find the backbone, freeze by the name of a layer or block, compile again and say what trains now.

tk.freeze(model)
fit_and_compare()
tk.unfreeze(model, "third")
fit_and_compare()

# %%
# A name that does not exist is an error:

try:
    tk.unfreeze(model, "thrid")
except tk.errors.UnknownNameError as error:
    print(error)

# %%
# ``train`` and ``fine_tune`` compile again by themselves, and every run records how many parameters trained in each phase.
#
# **Do this instead**, with plain Keras: set ``trainable``, then ``compile``, then look at ``model.summary()``: the line *Trainable
# params* must be what you expect.
