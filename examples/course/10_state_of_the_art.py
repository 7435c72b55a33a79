"""
State of the art, and what it costs
===================================

*What is the best accuracy on Fashion-MNIST?* The answer depends on whom you believe, and on what you are ready to pay. This page looks at
published numbers first, then at cost.
"""

from scipy.stats import binomtest

import transferkit as tk

published = tk.published_results("fashion_mnist")
print(published.groupby(["source", "credibility"]).size())

# %%
# ``reported`` means: in a paper. ``unverified``: sent in by somebody, and tried by nobody else. ``not credible``: there
# are reasons against it. transferkit made none of these numbers and reproduced none.
#
# The top of the list
# -------------------

top = published.sort_values("accuracy", ascending=False)
print(top[["method", "accuracy", "source", "credibility"]].head(12).to_string(index=False))

# %%
# *Observe:* the first four are marked. Why?

for row in top[top["credibility"] == "not credible"].itertuples():
    errors = round(10_000 * (1 - row.accuracy))
    print(f"{row.method}: {errors} errors on 10,000 test images. {row.note}")

# %%
# Questions to ask of any number
# ------------------------------
#
# 1. **Which data chose the epoch?** If it was the test data, the number is the best of many draws, not the result of
#    one model.
# 2. **How many settings were tried**, and which data judged them?
# 3. **Were images augmented before the split?** Then copies of test images are among the training images.
# 4. **How many seeds?** One number may be the luckiest of many.
# 5. **Is there code** that gives the number?
# 6. **How wide is the interval?** 10,000 test images leave this much open about *one* trained model:

for accuracy in (0.84, 0.93, 0.96):
    interval = binomtest(round(10_000 * accuracy), 10_000).proportion_ci(method="wilson")
    print(f"{accuracy:.1%} on 10,000 images: from {interval.low:.2%} to {interval.high:.2%}")

# %%
# So a rank in a list whose numbers differ by a tenth of a point is an accident. What can be said is coarse: on
# Fashion-MNIST a logistic regression reaches about 84%, a random forest 87 to 88%, a small CNN 91 to 94%, a
# well-trained residual network 95 to 96.7%. People without knowledge of fashion reach this:

human = published[published["method"] == "Human"].iloc[0]
print(f"{human['accuracy']:.1%}. {human['note']}")

# %%
# Accuracy against cost
# ---------------------
#
# A point of accuracy is not free. Here are the saved runs of this repository: first those on all 60,000 training
# images, against the time of training. Not all were made on one machine (each record says on which), so look at factors of ten,
# not of two.

zoo = tk.load_runs("../../docs/results/model_zoo")
_ = tk.plot_cost(zoo, "training_time")

# %%
# And against the time to predict one image. *Observe:* the axis is logarithmic: each step is a factor. Nearest
# neighbours compare each test image with all 60,000 training images, and logistic regression multiplies once. A model
# that is trained in seconds may be the slowest to use.

_ = tk.plot_cost(zoo, "latency")

# %%
# The homework's four networks, on 1,000 training images: training time, size, and prediction.

quick = tk.load_runs("../../docs/results/quick")
_ = tk.plot_cost(quick, "training_time")

# %%

_ = tk.plot_cost(quick, "parameters")

# %%

_ = tk.plot_cost(quick, "latency")

# %%
# *Observe:* the three MobileNets are one network with three sets of weights. They have the same number of parameters and
# need the same work for an image, and Keras computed all three. What parts them in the last picture is nothing but the machine's
# mood while some images were timed. Wall time is an honest measure of *your* waiting and a poor
# measure of a model. Measure on a quiet machine, say on which, and do not compare times from two machines.

print({name: quick[0].environment[name] for name in ("cpu", "cores", "accelerator")})
for run in quick:
    print(
        f"{run.name:24} {run.parameters:>9,} parameters, {1000 * run.test_seconds / len(run.test_labels):.2f} ms an image"
    )

# %%
# Which one would you take?
# -------------------------
#
# A run is *dominated* if another is at least as accurate and cheaper. What is left is the set to choose from, and the
# choice depends on what you need: a phone wants few parameters and a short latency, a study group on laptops a short
# training.

for run in quick:
    better = [
        other.name
        for other in quick
        if other.metrics["accuracy"] >= run.metrics["accuracy"] and other.train_seconds < run.train_seconds
    ]
    print(f"{run.name}: {'more accurate and faster to train: ' + ', '.join(better) if better else 'in the choice'}")
