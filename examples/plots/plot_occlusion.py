"""
plot_occlusion(image, drop)
===========================

On which part of an image an answer rests: how much probability the class loses where a grey square covers it.
"""

import transferkit as tk

data = tk.load_fashion_mnist(labels_per_class=100, validation=500)
cnn = tk.build_cnn()
run = tk.train(cnn, data, epochs=3, learning_rate=3e-3, name="CNN", verbose=False)
bag = (data.test.labels == data.class_names.index("Bag")).argmax()
image, label = data.test.images[bag], data.test.labels[bag]
drop = tk.occlusion_map(cnn, image, label, size=6, stride=2)
_ = tk.plot_occlusion(image, drop)

# %%
# Options: :func:`transferkit.plot_occlusion`.
