"""
Notebooks, Colab, GPU
=====================

Every page of this course is also a notebook: the download is at the end of the page. This page is about running them well: where, on what,
and so that the same comes out again.
"""

from dataclasses import replace

import transferkit as tk
import keras
import numpy as np
import tensorflow as tf

print("TensorFlow", tf.__version__, "| Keras", keras.__version__, "| transferkit", tk.__version__)

# %%
# Is there a GPU?
# ---------------
#
# TensorFlow uses a GPU by itself if it sees one. An empty list means that everything runs on the processor.

gpus = tf.config.list_physical_devices("GPU")
print(gpus or "no GPU: everything runs on the processor")

# %%
# In Google Colab choose *Runtime*, *Change runtime type*, *T4 GPU*, and then run the cell again. On your own machine
# TensorFlow finds an NVIDIA GPU on Linux (on Windows inside WSL2) after
#
# .. code-block:: bash
#
#    python -m pip install 'tensorflow[and-cuda]'
#    nvidia-smi
#
# If ``nvidia-smi`` shows a GPU and the list above is empty, this extra is missing, or was installed for another
# version.
#
# You do not need one for most of this course. A frozen backbone is computed once for each image and kept, so that
# training the new layer takes seconds on a laptop. A GPU pays for fine-tuning, for training from scratch, and for all
# 60,000 images.
#
# The first cells in Colab
# ------------------------
#
# A Colab machine is empty, and forgets everything when you leave it. So install first, and save runs where they last:
#
# .. code-block:: python
#
#    from google.colab import drive
#
#    drive.mount("/content/drive")
#    folder = "/content/drive/MyDrive/homework"
#
# With ``tk.train(..., folder=folder)`` the run is saved there, with a checkpoint after each epoch. If Colab takes the
# machine away, run the notebook again: finished runs are found, and a training that was cut off goes on where it
# stopped.
#
# What a run records
# ------------------
#
# A time without its machine means nothing. Each run keeps versions, processor and GPU:

data = tk.load_fashion_mnist(labels_per_class=30, validation=100)
data = replace(data, test=tk.Split(data.test.images[:1000], data.test.labels[:1000]))  # few, so that this page is quick
first = tk.train(tk.build_cnn(seed=0), data, epochs=3, seed=0, name="CNN", verbose=False)
for name, value in first.environment.items():
    print(f"{name:12} {value}")

# %%
# ``accelerator`` is the GPU's name, or None. A report names all of this, and says so where two runs were made on
# different machines.
#
# Does the same come out again?
# -----------------------------
#
# A training draws random numbers: initial weights, the order of the images, augmentation, dropout. The seed fixes them.
# The same seed twice, then another:

again = tk.train(tk.build_cnn(seed=0), data, epochs=3, seed=0, name="CNN", verbose=False)
other = tk.train(tk.build_cnn(seed=1), data, epochs=3, seed=1, name="CNN", verbose=False)

for name, run in [("seed 0", first), ("seed 0, again", again), ("seed 1", other)]:
    difference = np.abs(run.test_probabilities - first.test_probabilities).max()
    print(
        f"{name:14} accuracy {run.metrics['accuracy']:.4f}; probabilities differ from the first by up to {difference:.6f}"
    )

# %%
# *Observe:* with the same seed nothing differs, or next to nothing. With another seed the accuracy is another, though
# nobody has changed the method. That is why one run says little about a method: ``tk.repeat`` trains several seeds.
#
# What a seed cannot fix:
#
# * **The machine.** Sums of many numbers depend on the order of adding. Another processor, another number of threads, a
#   GPU: each rounds differently, and after many steps the weights differ. Expect accuracies within the spread of seeds,
#   not the same digits.
# * **A GPU.** Some of its operations add in an order that changes from run to run.
#   ``tf.config.experimental.enable_op_determinism()``, called first of all, forbids that, and makes training slower.
# * **Versions.** They are in the record. A report says so where they differ.
#
# Did both really use the same data? Their fingerprints tell.

print(first.dataset["train_fingerprint"][:16], other.dataset["train_fingerprint"][:16])

# %%
# Traps of notebooks
# ------------------
#
# * **Hidden state.** Cells can be run in any order, and a deleted cell leaves its variables behind. Before you believe
#   a number: *Restart and run all*.
# * **Training on.** A model keeps its weights. If you run the cell with ``tk.train(model, ...)`` twice, the second
#   training begins where the first one ended. Build the model in the same cell. The record tells whether you did: it
#   has a key made of the initial weights, data and recipe.
# * **One more look at the test data.** Each time you change something because of a test result, the test data have
#   helped to choose. Choose on the validation accuracy.

model = tk.build_cnn()
once = tk.train(model, data, epochs=5, name="CNN", verbose=False)
twice = tk.train(model, data, epochs=5, name="CNN", verbose=False)
print("the same training?", once.key == twice.key)
print(
    f"after the cell was run once: {once.metrics['accuracy']:.1%}, and a second time: {twice.metrics['accuracy']:.1%}"
)
