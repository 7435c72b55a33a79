"""
Loss and metrics
================

The *loss* is what training makes small: it must have a slope. A *metric* is what people want to know: how many images are right?
This page computes both on real predictions: four networks trained on 1,000 images of Fashion-MNIST, tested on 10,000.
They were saved with this documentation by the command ``python examples/assignment.py``.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import transferkit as tk

runs = tk.load_runs("../../docs/results/quick")
for run in runs:
    print(run)

# %%
# One image
# ---------
#
# A network does not answer "shirt". It answers ten probabilities that sum to 1. The *cross-entropy* loss (or log-loss) looks at one
# of them only, that of the true class: ``-log(p)``. It is 0 if p is 1, and large if the network is sure of something false.

cnn = runs[0]
probabilities, true_class = cnn.test_probabilities[0], cnn.test_labels[0]
print(pd.Series(probabilities, cnn.class_names).round(3))
print("true class:", cnn.class_names[true_class])
print(f"loss of this image: {-np.log(probabilities[true_class]):.3f}")

# %%
# Accuracy looks only at which probability is the largest. Whether it is 0.51 or 0.99 makes no difference to it.

p = np.linspace(0.01, 1, 100)
ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")[1]
ax.plot(p, -np.log(p), color="#0072B2", linewidth=2, label="loss of the image, -log(p)")
ax.step([0, 0.5, 1], [1, 1, 0], color="#D55E00", linewidth=2, linestyle="--", label="error of the image (two classes)")
ax.set_xlabel("probability p of the true class")
_ = ax.legend(frameon=False)

# %%
# *Observe:* the loss falls everywhere, so it tells the weights in which direction to move. The error is flat and has one step: it
# has no slope that could be followed. This is why we train with one and report the other.
#
# All test images
# ---------------
#
# Every run has these metrics; they are always computed from its test probabilities.

names = ["accuracy", "f1_macro", "loss", "brier", "calibration_error"]
table = pd.DataFrame({run.name: [run.metrics[name] for name in names] for run in runs}, index=names).T
print(table.round(3).to_string())

# %%
# ==================  ==========================================================================================  ========
# metric              what it is                                                                                  better
# ==================  ==========================================================================================  ========
# accuracy            share of images whose largest probability is at the true class                              high
# F1 of a class       2 TP / (2 TP + FP + FN): high only if the class is found and not seen where it is not       high
# macro F1            mean F1 of all classes, each with the same weight, however rare                             high
# loss                mean of -log(p); guessing among ten classes gives log 10 = 2.30                             low
# Brier score         mean of the summed squared differences between the probabilities and the truth (1 and 0s)   low
# calibration error   mean distance between confidence and accuracy                                               low
# ==================  ==========================================================================================  ========
#
# Accuracy, loss and F1 follow from a few lines of NumPy:

predicted, truth = cnn.test_predictions, cnn.test_labels
print(f"accuracy {np.mean(predicted == truth):.4f}")
print(f"loss     {-np.log(cnn.test_probabilities[np.arange(len(truth)), truth]).mean():.4f}")
shirt = cnn.class_names.index("Shirt")
hits = np.sum((predicted == shirt) & (truth == shirt))
false_alarms, misses = np.sum((predicted == shirt) & (truth != shirt)), np.sum((predicted != shirt) & (truth == shirt))
print(f"F1 of shirts: 2 x {hits} / (2 x {hits} + {false_alarms} + {misses}) = ", end="")
print(f"{2 * hits / (2 * hits + false_alarms + misses):.4f}")

# %%
# One number hides a lot. F1 of each class:

per_class = pd.DataFrame({run.name: run.metrics["f1_per_class"] for run in runs}, index=cnn.class_names)
print(per_class.round(2).to_string())

# %%
# *Observe:* which class is the worst in every column, and which is easy?
#
# The confusion matrix
# --------------------
#
# It shows where the errors go. A row is a true class, a column what the network said.

_ = tk.plot_confusion(cnn)

# %%
# The same errors, sorted. *Observe:* upper garments are confused with each other, shoes with each other, and hardly ever one group
# with the other.

_ = tk.plot_confused_pairs(cnn)

# %%
# Right, and how sure?
# --------------------
#
# Look at the table again, at the CNN and the frozen MobileNet:

frozen = next(run for run in runs if run.name == "MobileNet, frozen")
print(table.loc[[cnn.name, frozen.name], ["accuracy", "loss", "calibration_error"]].round(3).to_string())

# %%
# Both have a calibration error: their probabilities do not tell the truth. Are they too sure, or too modest? A *reliability
# plot* (Guo et al. 2017) answers. All images with a confidence near 80% are put in one group; about 80% of them should be right.

_ = tk.plot_reliability(frozen)

# %%

_ = tk.plot_reliability(cnn)

# %%
# *Observe:* where the points lie above the diagonal, a network is more often right than it believes; where they lie below, it is too
# sure. The CNN is too modest: label smoothing, with which it was trained, asks for 91% and never for 100%. The frozen MobileNet
# was trained without it, and is too sure: it knows its 1,000 training images better than new ones. Either makes the loss
# higher without changing one answer.
#
# Since the order of the probabilities does not change, this can be repaired after training. ``calibrate`` fits one number on the
# validation images, the *temperature*, and divides the logarithms of all probabilities by it:

calibrated = {run.name: tk.calibrate(run).metrics for run in (cnn, frozen)}
print(pd.DataFrame(calibrated).T[["accuracy", "loss", "calibration_error"]].astype(float).round(3).to_string())

# %%
# *Observe:* compare with the table above. The accuracies are the same, the losses are lower: of a loss, a part can come from
# probabilities alone. What is left of the calibration error of the frozen network, one number cannot repair.
#
# Guo, C., Pleiss, G., Sun, Y. & Weinberger, K. Q. (2017). On calibration of modern neural networks.
# `arXiv:1706.04599 <https://arxiv.org/abs/1706.04599>`_.
