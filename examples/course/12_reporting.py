"""
Reporting: what you may say
===========================

The homework ends with a comment on a GitHub issue. This page is about that last step: what the report says, what each sentence means, and what
it does not say.
"""

from dataclasses import replace

import transferkit as tk
from transferkit.errors import UnfairComparisonError

runs = tk.load_runs("../../docs/results/quick")
comparison = tk.compare_runs(runs, baseline="CNN")
print(comparison.verdict)

# %%
# Read the sentences slowly
# -------------------------
#
# * **Transfer helped**: the question of the homework, answered first: the same network, pretrained and from scratch. Then
#   fine-tuned against frozen, then the most accurate model against the baseline.
# * **points of test accuracy**: percentage points. From 75% to 77% is two points, not two per cent.
# * **95% interval**: with other test images of the same kind the difference would have come out differently;
#   differences within the interval agree with what was seen.
# * **exact McNemar test, p**: only the images that exactly one of the two gets right can tell the two apart. If both
#   were equally good, such a split or a more uneven one would occur with probability p. The second number is adjusted for
#   the number of pairs (Holm), since among many pairs one looks good by chance. It decides.
# * **They also differ in**: the recipes were not the same in all else, so part of the difference may come from that.
# * **these trained models, not the recipes that made them**: each was trained once. Another seed might turn the result
#   round.
#
# For the comment
# ---------------
#
# GitHub draws this as tables. Put your own sentences above it: what you did, what you expected, what you found.

markdown = comparison.to_markdown()
print(markdown[: markdown.index("### Data")])

# %%
# And in Korean:

korean = comparison.to_markdown(language="ko")
print(korean[: korean.index("### 데이터")])

# %%
# The whole of it goes on: the data and its fingerprint, how each model was trained, where the weights came from, how to
# read it, versions and hardware. Somebody who doubts a number finds there what it needs to make it again.

print(markdown[markdown.index("### How each model was trained") :])

# %%
# Other forms
# -----------
#
# ``to_html`` writes one page with the plots inside, which needs no other file and no network. Given the dataset, it shows
# images as well, among them those that only one of two models gets right:
#
# .. code-block:: python
#
#    comparison.to_html("report.html", language="ko", images=data)
#    comparison.plot(language="ko").savefig("comparison.png", dpi=150, bbox_inches="tight")
#
# ``to_latex`` writes the table for a paper:

print(comparison.to_latex())

# %%
# The words of a verdict
# ----------------------
#
# There are only a few, and each means one thing.
#
# .. list-table::
#    :header-rows: 1
#    :widths: 26 26 48
#
#    * - verdict
#      - in Korean
#      - what it means
#    * - ``A better``
#      - A 우세
#      - p, adjusted, is below 0.05. How much better, the interval says.
#    * - ``practically equal``
#      - 사실상 같음
#      - A test says that the difference lies within the margin: half a point, unless you said otherwise.
#    * - ``undecided``
#      - 판단 보류
#      - Neither of the two. A difference below *smallest detectable* may be missed by this test.
#    * - ``not comparable``
#      - 비교 불가
#      - There is a reason, and it is given.
#
# Where all 60,000 images were learned from (``docs/results/full``), the network from scratch and the CNN are close:

full = tk.load_runs("../../docs/results/full")
close = [run for run in full if run.name in ("CNN", "MobileNet, from scratch")]
print(tk.compare_runs(close).sentence())

# %%
# *Undecided is not equal.* To say *equal* you must say how small a difference you do not care about, **before** you
# look. Somebody for whom two points do not matter asks so:

print(tk.compare_runs(close, margin=0.02).sentence())

# %%
# *Observe:* the same runs, another verdict. With a margin of two points the test images are
# enough to say *equal*; with half a point they were not. Where a difference is real *and* small, the test's answer stands, and
# whether it matters is up to you.
#
# When there is no verdict
# ------------------------
#
# If the epoch was chosen by the test accuracy, the number is too good by an unknown amount. The report says so, and
# keeps silent otherwise.

fine_tuned = next(run for run in runs if run.name == "MobileNet, fine-tuned")
cnn = next(run for run in runs if run.name == "CNN")
peeked = replace(fine_tuned, selection="test")
print(tk.compare_runs([cnn, peeked]).verdict)

# %%
# Models that were tested on different images cannot be compared at all, not even with a warning:

half = replace(
    fine_tuned, test_labels=fine_tuned.test_labels[:5000], test_probabilities=fine_tuned.test_probabilities[:5000]
)
try:
    tk.compare_runs([cnn, half])
except UnfairComparisonError as error:
    print(error)

# %%
# Sentences to write, and not to write
# ------------------------------------
#
# .. list-table::
#    :header-rows: 1
#    :widths: 50 50
#
#    * - Not
#      - But
#    * - "Fine-tuning is better than freezing."
#      - "This fine-tuned MobileNet was more accurate than this frozen one on the 10,000 test images, after training on 1,000."
#    * - "MobileNet from scratch is as good as the CNN."
#      - "Undecided; a difference below the smallest detectable one may exist."
#    * - "Transfer learning brings 14 points."
#      - "14 points over the same network from scratch *with fifteen epochs of 1,000 images*."
#    * - "The best of my five settings has 84%."
#      - "Five settings were compared on the validation images; the best of them has 84% on the test images, which were used once."
#    * - "Accuracy 83.78%."
#      - "83.8%, 95% interval 83.0 to 84.5."
#
# Several seeds allow more: with ``tk.repeat`` the report speaks of the recipes instead of two trained models.
