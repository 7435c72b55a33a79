"""Images a second through the frozen ImageNet MobileNet: transferkit, Keras, PyTorch, and the machine's own limit.

    python benchmarks/features.py [--sizes 64 96 128 224] [--images 512] [--rounds 5]

All contenders take the same raw grey images and give the same features; that is checked. PyTorch takes part if it is
installed (``pip install 'transferkit[bench]'``). The rate is that of the best round; the ratios compare medians over rounds.

A second table has what each use of kept features costs before one is read: tracing the program that addresses them, hashing the weights,
and running 8 images through the live layers to compare.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median

import keras
import machine
import numpy as np

import transferkit as tk
from transferkit.features.engine import live_values, load_engine
from transferkit.features.prefix import find_prefix

parser = argparse.ArgumentParser(description="Feature extraction, side by side")
parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 128, 224])
parser.add_argument("--images", type=int, default=512)
parser.add_argument("--rounds", type=int, default=5)
arguments = parser.parse_args()

print(machine.describe_machine(), "\n")
test_images = tk.load_fashion_mnist().test.images
matmul = machine.make_matmul()
rows, costs = [], []
for size in arguments.sizes:
    images = test_images[: max(64, arguments.images * 64**2 // size**2 // 64 * 64)]
    model = tk.build_transfer_model("mobilenet", image_size=size)
    prefix = find_prefix(model)
    ours = load_engine(prefix, "litert", images, folder=Path(tempfile.mkdtemp()))
    if ours is None:
        raise SystemExit("LiteRT cannot run this model here.")
    paid = {
        "trace": lambda m=model: find_prefix(m),
        "weights": prefix.weights_digest,
        "live check": lambda p=prefix, x=images: live_values(p, x[:8]),
    }
    seconds = machine.time_in_turns(paid, rounds=arguments.rounds)
    costs.append([f"{size}", *(f"{median(seconds[name]):.3f}" for name in paid)])
    plain = keras.Model(model.inputs, model.get_layer("pool").output)
    contenders = {
        "transferkit (LiteRT)": lambda run=ours, x=images: run(x),
        "Keras predict": lambda net=plain, x=images: net.predict(x, batch_size=64, verbose=0),
        "matmul": matmul,
    }
    try:
        import torch_mobilenet
    except ImportError:
        pass
    else:
        network = torch_mobilenet.build(model.get_layer("backbone"), size)
        contenders["PyTorch channels_last"] = lambda net=network, x=images: torch_mobilenet.features(net, x)
    expected = plain.predict(images, batch_size=64, verbose=0)
    outputs = {name: run() for name, run in contenders.items() if name != "matmul"}
    seconds = machine.time_in_turns(contenders, rounds=arguments.rounds)
    peak = 2 * 2048**3 / min(seconds.pop("matmul"))
    backbone = model.get_layer("backbone")
    macs = sum(
        float(np.prod(layer.output.shape[1:3])) * float(np.prod(layer.kernel.shape))
        for layer in backbone.layers
        if hasattr(layer, "kernel")
    )
    for name, times in seconds.items():
        rate = len(images) / min(times)
        rows.append(
            [
                f"{size}",
                name,
                f"{rate:,.0f}",
                f"{rate * 2 * macs / peak:.0%}",
                f"{median(times) / median(seconds['transferkit (LiteRT)']):.2f}",
                f"{machine.largest_difference(outputs[name], expected):.0e}",
            ]
        )
machine.print_table(
    ["px", "engine", "images/s", "share of matmul peak", "time / transferkit's", "largest difference to Keras"], rows
)
print()
machine.print_table(["px", "trace, s", "hash of the weights, s", "live check, s"], costs)
