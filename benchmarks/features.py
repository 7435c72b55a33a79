"""Images a second through the frozen ImageNet MobileNet: transferkit, Keras, PyTorch, and the machine's own limit.

    python benchmarks/features.py [--quick] [--sizes 64 96 128 224] [--images 512] [--rounds 5] [--torch-python PATH]

All contenders take the same raw grey images and give the same features; that is checked. PyTorch takes part, in a process of its own, if
it is installed. The rate is that of the best round; the ratios compare medians over rounds.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median

import keras
import machine
import numpy as np
import torch_mobilenet

import transferkit as tk
from transferkit.features.engine import load_engine
from transferkit.features.prefix import find_prefix

OURS, TORCH = "transferkit (LiteRT)", "PyTorch channels_last"

parser = argparse.ArgumentParser(description="Feature extraction, side by side")
parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 128, 224])
parser.add_argument("--images", type=int, default=512)
parser.add_argument("--rounds", type=int, default=5)
torch_mobilenet.add_option(parser)
arguments = machine.parse(parser, sizes=[64], images=64, rounds=1)
results = machine.Results(
    "features",
    {
        "px": "{}",
        "engine": "{}",
        "images/s": "{:,.0f}",
        "share of matmul peak": "{:.0%}",
        "time / transferkit's": "{:.2f}",
        "largest difference to Keras": "{:.0e}",
    },
    arguments,
)
test_images = tk.load_fashion_mnist().test.images
matmul = machine.make_matmul()
for size in arguments.sizes:
    images = test_images[: max(64, arguments.images * 64**2 // size**2 // 64 * 64)]
    model = tk.build_transfer_model("mobilenet", image_size=size)
    backbone = model.get_layer("backbone")
    with tempfile.TemporaryDirectory() as folder:
        ours = load_engine(find_prefix(model), "litert", images, folder=Path(folder))
    if ours is None:
        raise SystemExit("LiteRT cannot run this model here.")
    plain = keras.Model(model.inputs, model.get_layer("pool").output)
    contenders = {
        OURS: lambda run=ours, x=images: run(x),
        "Keras predict": lambda net=plain, x=images: net.predict(x, batch_size=64, verbose=0),
        "matmul": matmul,
    }
    peer = torch_mobilenet.start(arguments.torch_python, backbone, size=size, images=images)
    if peer is not None:
        contenders[TORCH] = peer.run
        results.record["versions"]["torch"] = peer.version
    seconds = machine.time_in_turns(contenders, rounds=arguments.rounds)
    outputs = {name: contenders[name]() for name in contenders if name != "matmul"}
    if peer is not None:
        outputs[TORCH] = peer.features()
        peer.close()
    peak = 2 * 2048**3 / min(seconds.pop("matmul"))
    macs = sum(
        float(np.prod(layer.output.shape[1:3])) * float(np.prod(layer.kernel.shape))
        for layer in backbone.layers
        if hasattr(layer, "kernel")
    )
    for name, times in seconds.items():
        rate = len(images) / min(times)
        difference = machine.largest_difference(outputs[name], outputs["Keras predict"])
        results.add(size, name, rate, rate * 2 * macs / peak, median(times) / median(seconds[OURS]), difference)
        results.check(f"features of {name} and Keras, {size} px", difference, 1e-3)
