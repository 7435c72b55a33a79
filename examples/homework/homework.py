"""
Homework: a CNN and three MobileNets
====================================

The task:

1. Define a convolutional network for Fashion-MNIST, train it, evaluate it.
2. Take MobileNet, pretrained on ImageNet. Keep its feature extractor, replace the output layer for 1,000 classes by one for 10,
   and train that (2a). Fine-tune the whole network (2b). Do the same from an empty MobileNet (2c).
3. Compare test accuracy, loss and the rest. Discuss. Post the result as a comment on the GitHub issue.

Change whatever you like: the first cell is only the beginning. What you must not change is the rule of the game. The training
images train, the validation images choose, and the test images are looked at once, at the end.
"""

import transferkit as tk

# Your trainings are saved here. Run a cell again, and a finished one is found instead of repeated.
folder = "my_homework"
# sphinx_gallery_start_ignore
# While the site is built: the finished runs that examples/assignment.py made.
folder = "../../docs/results/quick"
# sphinx_gallery_end_ignore

# %%
# In your notebook the four trainings take about seven minutes together on two processor cores, and less with a GPU.
# This page shows the finished runs in ``docs/results/quick``, which the same calls made; that is why you read *finished
# run found* below. Your numbers will differ a little: another machine rounds differently, and may get another file of
# pretrained weights.
#
# The data
# --------
#
# 100 images of each class to learn from, 500 to choose the best epoch by, and all 10,000 test images. With so few
# images pretraining should help most. (Later, take 50,000: ``tk.load_fashion_mnist()``, and another ``folder``, since a
# folder holds one run of each name. Without a GPU that takes hours.)

data = tk.load_fashion_mnist(labels_per_class=100, validation=500)
print(data)

_ = tk.plot_samples(data)

# %%
# The networks that train all their layers share some settings, so that a difference comes as little as possible from the
# training. (Epochs and learning rates differ, and the report says so.) Images are
# mirrored at random, targets are smoothed, and the learning rate falls along a cosine. So few images need small batches,
# or there would be too few steps. These settings were chosen on *validation* images, among at most eight for each network;
# ``tuning_trials`` records that.

kept = {"seed": 0, "folder": folder, "tuning_trials": 8}
recipe = {"schedule": "cosine", "label_smoothing": 0.1, "augment": "flip", "batch_size": 32, **kept}

# %%
# Step 1. A CNN from nothing
# --------------------------
#
# The network of the course: two 5x5 convolutions, each followed by max pooling, then a dense layer with dropout, then
# ten outputs.

tk.build_cnn().summary(line_length=72)

# %%

model = tk.build_cnn()
cnn = tk.train(model, data, epochs=60, name="CNN", **recipe)
print(cnn)

# %%
# *Observe:* the accuracy and loss printed here are those on the test images. The training curve below is measured while
# dropout and augmentation are on, so it may lie *below* the validation curve. Does the validation curve still rise at
# the end?

_ = tk.plot_curves(cnn)

# %%
# Step 2a. MobileNet, frozen: only the new output layer learns
# ------------------------------------------------------------
#
# ``build_transfer_model`` loads MobileNet without its old output layer (1024 x 1000 weights and 1000 biases), freezes
# everything that is left, and adds a new output layer for 10 classes. Enlarging the images to 64 pixels, grey to three
# channels and MobileNet's own scaling (-1 to 1) are layers of the model, so it takes the same images as the CNN.

network = tk.build_transfer_model("mobilenet", pretrained=True, freeze=True)
print(f"feature extractor: {network.get_layer('backbone').count_params():,} weights, all frozen")
print(f"new output layer:  {network.get_layer('predictions').count_params():,} weights = 1024 x 10 + 10")
print(f"the old one had:   {1024 * 1000 + 1000:,} weights")

# %%
# A frozen network says the same of an image each time, so its features are computed once for each view of an image and
# kept. That is why this is the fastest of the four. How long a pretrained network learns, the library chooses from the number
# of images; here ten epochs.

model = tk.build_transfer_model("mobilenet", pretrained=True, freeze=True)
frozen = tk.train(model, data, name="MobileNet, frozen", **kept)
print(frozen)

# %%
# Step 2b. The same network, fine-tuned
# -------------------------------------
#
# First the new output layer alone, then all layers at a smaller learning rate. The order matters: a new
# output layer is random, and the errors it sends back would destroy what the pretrained layers know. With so few images the
# output layer is computed exactly (logistic regression on the features; it counts as one epoch), batch normalisation keeps
# what it knows from ImageNet, and 15 epochs follow.

model = tk.build_transfer_model("mobilenet", pretrained=True)
fine_tuned = tk.fine_tune(model, data, name="MobileNet, fine-tuned", **recipe)
print(fine_tuned)

# %%
# Step 2c. The same network from scratch
# --------------------------------------
#
# The same layers, but all weights random: *an empty MobileNet*. Most of what 2b has over this should come from the
# pretraining, though epochs and phases differ too.

model = tk.build_transfer_model("mobilenet", pretrained=False)
scratch = tk.train(model, data, epochs=15, name="MobileNet, from scratch", **recipe)
print(scratch)

# %%
# Step 3. The comparison
# ----------------------

runs = [cnn, frozen, fine_tuned, scratch]
comparison = tk.compare_runs(runs, baseline="CNN")
print(comparison.verdict)

# %%
# The answers first: did transfer help, was fine-tuning worth it, and is the best of them better than the CNN? Each with
# its interval, its test and its price. Now the numbers behind them:

table = comparison.table
print(
    (table[["accuracy", "accuracy_low", "accuracy_high", "difference", "f1_macro", "overfit_gap"]] * 100)
    .round(2)
    .to_string()
)

# %%
# All in per cent. *Observe:* ``accuracy_low`` and ``accuracy_high`` are the 95% interval: 10,000 test images are many,
# and still leave nearly one point open on either side. Loss and cost:

print(table[["loss", "parameters", "trainable_parameters", "train_seconds", "epochs"]].round(3).to_string())

# %%
# The same as a picture, with the curves of all four. *Observe:* which curves are still rising where they end?

_ = comparison.plot()

# %%
# Which differences are real? Each pair is tested on the same test images (McNemar's exact test, adjusted for six
# pairs). *Undecided* does not mean equal. It means: a true difference smaller than ``detectable`` may be missed.

pairs = comparison.tests[["a", "b", "difference", "detectable", "p_holm", "verdict"]].copy()
pairs[["difference", "detectable"]] = (100 * pairs[["difference", "detectable"]]).round(2)
print(pairs.round(3).to_string(index=False))

# %%
# What do they get wrong? *Observe:* the shirt, and what it is taken for.

_ = tk.plot_confusion(fine_tuned)

# %%
# Does a model know when it is wrong? Below the diagonal it is surer than it is right, above it less sure. The mean
# confidence of all four stands under the picture.

_ = tk.plot_reliability(fine_tuned)
for run in runs:
    frame = run.predictions_frame()
    print(
        f"{run.name:24} {frame['right'].mean():.1%} right, {frame['probability'].mean():.1%} sure on average,", end=" "
    )
    print(f"{frame.loc[~frame['right'], 'probability'].mean():.1%} sure when it is wrong")

# %%
# Discuss
# -------
#
# Write a few sentences on each question, from *your* table.
#
# 1. Did transfer learning help? Compare 2b with 2c, and 2b with 1. These are two different questions.
# 2. What did it cost? Compare training time and trainable parameters, not only accuracy.
# 3. Do accuracy and loss name the same winner? If not, why not?
# 4. The MobileNet from scratch is far behind. Does that show that MobileNet is a bad network for this data?
# 5. Which of your differences would you still claim after training with three other seeds?
# 6. What would you expect with all 60,000 images instead of 1,000?
#
# A model discussion
# ------------------
#
# It speaks of the runs shown on this page. Yours may say something else, and then yours should.
#
# *Did it help?* With the same network and much the same training, yes, and by a lot: the fine-tuned MobileNet is about
# fourteen points ahead of the one from scratch, far beyond anything that chance could do. It is also three and a half
# points better than the small CNN, with an interval from 2.9 to 4.2. The frozen MobileNet is six points behind the CNN. So
# MobileNet needs its pretraining here, its features alone are not enough for garments, and adapted to them they are worth
# more than a small network that learns from nothing.
#
# *What did it cost?* The frozen network trained 10,250 weights in about a tenth of the CNN's time. The fine-tuned one took
# more than twice as long as the CNN and has more than seventeen times as many weights, for three and a half points.
#
# *Accuracy or loss?* Here they agree on the order of all four. What differs is how sure they are: CNN and fine-tuned
# network are less sure than they are right (smoothed targets make them so), the frozen one, which had none, is surer than it
# is right. Choose the measure before you see the result, not after.
#
# *Is MobileNet bad from scratch?* This does not show that. It had fifteen epochs of 1,000 images, 480 steps in all, for 3.2
# million weights, and knows its training images nearly by heart. It shows that pretraining saves images and time, and that
# a big empty network needs more of both. The epochs of the four differ (60, 10, 16, 15), which the report says by itself
# under *Not trained alike*.
#
# *How far does it reach?* Each network was trained once. The interval covers other test images, not other seeds, so the
# result holds for *these trained models*, as the report says. ``tk.repeat(build, data, seeds=range(3))`` would
# answer the other question. And with few training images pretraining has a better chance than with many: with 60,000 the
# small CNN has much more to learn from.
#
# Post it
# -------
#
# Copy everything below into a comment on the issue, and put your discussion above it. GitHub draws the tables.

print(comparison.to_markdown(language="en"))

# %%
# In a notebook, this shows the same as GitHub will draw it:

comparison

# %%
# A picture can be dragged into the comment as well: ``comparison.plot().savefig("comparison.png", dpi=150,
# bbox_inches="tight")``.
