"""
Scaled twice, or for another network
====================================

**The trap:** pixels are divided by 255 before they go into a network that scales them itself, or they are scaled the way that
another network wants them. Nothing fails. It is only another network than the one you think it is, and nobody knows what that costs.
"""

from dataclasses import replace

import transferkit as tk

data = tk.load_fashion_mnist(labels_per_class=50, validation=200)
data = replace(data, test=tk.Split(data.test.images[:2000], data.test.labels[:2000]))
print(data)

# %%
# A model that is right
# ---------------------
#
# MobileNet was trained on pixels from -1 to 1. ``build_transfer_model`` puts that scaling into the model, so raw pixels from
# 0 to 255 go in. Only the last layer learns here, and exactly (``head="logistic"``): whatever changes below is due to the pixels.

model = tk.build_transfer_model("mobilenet")
right = tk.train(model, data, head="logistic", name="raw pixels", verbose=False)
print(right)

# %%
# Fall into it: at test time
# --------------------------
#
# A habit from other courses: ``x / 255`` first. Keras takes it without a word, since numbers are numbers. The model scales
# them again: 0 to 1 becomes -1 to -0.99, and every image is nearly black.

scaled = (data.test.images / 255.0).astype("float32")
print("scaled twice: from", scaled.min() / 127.5 - 1, "to", round(scaled.max() / 127.5 - 1, 4))

predicted = model.predict(scaled, verbose=0).argmax(axis=1)
print(f"accuracy on raw pixels: {right.metrics['accuracy']:.1%}")
print(f"accuracy on x / 255:    {(predicted == data.test.labels).mean():.1%}   (chance is 10%)")

# %%
# Fall into it: another network's scaling
# ---------------------------------------
#
# If training and test images are scaled in the same wrong way, the new layer adapts to whatever comes out, and nothing looks broken. The
# lines below have the same backbone, head and images; only the scaling differs.

scalings = {
    "tf": "-1 to 1, what MobileNet was trained with",
    "unit": "0 to 1, the famous division by 255",
    "caffe": "BGR minus a mean, for ResNet50 and VGG",
    "none": "0 to 255, forgotten altogether",
}
for scaling, meaning in scalings.items():
    other = tk.build_transfer_model("mobilenet", preprocessing=scaling)
    run = tk.train(other, data, head="logistic", name=scaling, verbose=False)
    print(f"{scaling:>6}: test accuracy {run.metrics['accuracy']:.1%}   ({meaning})")

# %%
# *Observe:* four different networks, and no error message. Here the scaling of ResNet50 costs several points, the division by 255 next to
# nothing, and no scaling at all even gains some: small, dark, enlarged garments are far from ImageNet's photographs anyway, and more
# contrast happens to suit them. Nobody could have known that beforehand, and a comparison "with MobileNet" would be one with something
# else. If the scaling is to be part of the experiment, choose it on validation images and say so.
#
# What transferkit does
# ---------------------
#
# Every registered backbone knows its scaling, and the model holds it, also when it is saved or exported:

for name in ("mobilenet", "resnet50", "densenet121", "efficientnet_b0"):
    print(f"{name:>16}: {tk.backbone_info(name).preprocessing}")

# %%
# Pixels that were scaled are refused, by datasets as well as by ``evaluate``:

images, labels = data.train
for wrong in (images / 255.0, images / 127.5 - 1):
    try:
        tk.Dataset.from_arrays(train=(wrong, labels), test=(wrong, labels))
    except tk.errors.DataError as error:
        print(error)

try:
    tk.evaluate(model, (scaled, data.test.labels))
except tk.errors.DataError as error:
    print(error)

# %%
# ``model.predict`` is Keras's own and cannot refuse anything. **Do this instead:** keep images as they come, whole numbers
# from 0 to 255, from the file to the model, and let nothing but the model scale them.
