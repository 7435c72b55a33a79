"""MobileNet v1 in PyTorch with Keras's weights, as a careful person would write it: channels_last, inference mode.

Benchmarks import `start` and `add_option`. PyTorch runs in a process of its own, which executes this file: beside TensorFlow it dies. That
process reads weights and images from a file, and computes once for each line that it is sent, so that contenders can take turns.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    import torch
    from torch import nn
    from torch.nn import functional

_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--torch-python", default=sys.executable, help="the interpreter that has PyTorch")


def is_in(python: str) -> bool:
    """Whether an interpreter has PyTorch; says so in one line if not."""
    look = "import importlib.metadata as m; m.version('torch')"
    found = not subprocess.run([python, "-c", look], capture_output=True, check=False).returncode  # noqa: S603 - our own code
    if not found:
        print("PyTorch is left out: this Python has none (--torch-python names another one)", flush=True)
    return found


def start(python: str, backbone: Any, **arrays: Any) -> "Peer | None":
    """Return the process, with the weights of a Keras MobileNet, or say in one line that there is no PyTorch.

    Parameters
    ----------
    arrays : ndarray
        ``size`` and ``images``; to train, ``epochs`` and ``train_images``, ``train_labels`` and so on; to fine-tune, also ``seed``,
        ``batch_size``, ``learning_rate`` and ``label_smoothing``.
    """
    if not is_in(python):
        return None
    for layer in backbone.layers:
        if hasattr(layer, "gamma"):
            values = (layer.moving_mean, layer.moving_variance, layer.gamma, layer.beta)
            arrays[layer.name] = np.stack([np.array(value) for value in values])
        elif hasattr(layer, "kernel"):
            order = (2, 3, 0, 1) if "_dw_" in layer.name else (3, 2, 0, 1)
            arrays[layer.name] = np.array(layer.kernel).transpose(order)
    return Peer(python, arrays)


class Peer:
    """The process: ``run()`` computes the features of `images`, ``train()`` trains a new softmax layer on kept features, ``fine_tune()`` all layers."""

    def __init__(self, python: str, arrays: dict[str, Any]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        given, self._features = (Path(self._folder.name, name) for name in ("given.npz", "features.npy"))
        np.savez(given, **arrays)
        command, pipe = [python, __file__, str(given), str(self._features)], subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)  # noqa: S603 - our own script
        self.version = self._read()["torch"]

    def run(self) -> None:
        self._ask("features")

    def train(self) -> dict[str, float]:
        return self._ask("train")

    def fine_tune(self) -> dict[str, Any]:
        return self._ask("fine_tune")

    def features(self) -> np.ndarray:
        """Return what the last `run` computed."""
        return np.load(self._features)

    def close(self) -> None:
        self._process.communicate()
        self._folder.cleanup()

    def _ask(self, what: str) -> Any:
        print(what, file=self._process.stdin, flush=True)
        return self._read()

    def _read(self) -> Any:
        line = self._process.stdout.readline()
        return json.loads(line) if line else sys.exit(f"PyTorch ended with status {self._process.wait()}.")


def read_weights(given: dict[str, np.ndarray]) -> dict[str, Any]:
    weights = {name: torch.from_numpy(array) for name, array in given.items() if name.startswith("conv")}
    return {
        name: array.contiguous(memory_format=torch.channels_last) if array.ndim == 4 else array
        for name, array in weights.items()
    }


def network(weights: dict[str, Any], images: Any, size: int, *, training: bool = False) -> Any:
    """Return the features of raw grey images, a tensor of shape (n, 1, height, width)."""

    def layer(x: Any, name: str, stride: int) -> Any:
        kernel = weights[name]
        groups = len(kernel) if kernel.shape[1] == 1 else 1
        if stride == 2:
            x = functional.pad(x, (0, 1, 0, 1))
        padding = 1 if stride == 1 and kernel.shape[-1] == 3 else 0
        x = functional.conv2d(x, kernel, stride=stride, padding=padding, groups=groups)
        return functional.relu6(functional.batch_norm(x, *weights[f"{name}_bn"], training=training, eps=1e-3))

    x = functional.interpolate(images.float(), (size, size), mode="bilinear", align_corners=False)
    x = layer((x / 127.5 - 1).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last), "conv1", 2)
    for block, stride in enumerate(_STRIDES, 1):
        x = layer(layer(x, f"conv_dw_{block}", stride), f"conv_pw_{block}", 1)
    return x.mean(dim=(2, 3))


def pixels(images: np.ndarray) -> Any:
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)


def compute(weights: dict[str, Any], images: np.ndarray, size: int, batch_size: int = 64) -> Any:
    """Return the features of raw grey images of shape (n, height, width, 1)."""
    with torch.inference_mode():
        return torch.cat([network(weights, batch, size) for batch in pixels(images).split(batch_size)])


def train(given: dict[str, np.ndarray], batch_size: int = 64) -> dict[str, float]:
    """Train a softmax layer on features that are computed once, with validation and test."""
    begin = time.perf_counter()
    weights, size = read_weights(given), int(given["size"])
    head, dropout = nn.Linear(1024, 10), nn.Dropout(0.2)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.004)
    splits = ("train", "validation", "test")
    features, validation, test = (compute(weights, given[f"{split}_images"], size).clone() for split in splits)
    labels = torch.from_numpy(given["train_labels"])
    for _ in range(int(given["epochs"])):
        for batch in torch.randperm(len(features)).split(batch_size):
            optimizer.zero_grad()
            functional.cross_entropy(head(dropout(features[batch])), labels[batch]).backward()
            optimizer.step()
        head(validation).argmax(dim=1)
    right = head(test).argmax(dim=1).numpy() == given["test_labels"]
    return {"seconds": time.perf_counter() - begin, "accuracy": float(right.mean())}


def fine_tune(given: dict[str, np.ndarray]) -> dict[str, Any]:
    """Train all layers, multiplying in bfloat16 as PyTorch's automatic mixed precision does, with validation after each epoch and test."""
    torch.manual_seed(int(given["seed"]))
    batch_size, epochs, size = (int(given[name]) for name in ("batch_size", "epochs", "size"))
    weights, head = read_weights(given), nn.Linear(1024, 10)
    for name in [name for name in weights if name.endswith("_bn")]:
        mean, variance, gamma, beta = weights[name].unbind()
        weights[name] = [mean.clone(), variance.clone(), nn.Parameter(gamma.clone()), nn.Parameter(beta.clone())]
    kernels = [name for name, value in weights.items() if not isinstance(value, list)]
    weights |= {name: nn.Parameter(weights[name]) for name in kernels}
    scales = [value for name, values in weights.items() if name.endswith("_bn") for value in values[2:]]
    trained = [*(weights[name] for name in kernels), *scales, *head.parameters()]
    images, labels = pixels(given["train_images"]), torch.from_numpy(given["train_labels"])
    steps = -(-len(images) // batch_size)
    optimizer = torch.optim.AdamW(trained, lr=float(given["learning_rate"]), weight_decay=0.004)
    rates = [
        torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=steps // 2),
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps * epochs - steps // 2),
    ]
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, rates, [steps // 2])
    mixed, smoothing = torch.autocast("cpu", torch.bfloat16), float(given["label_smoothing"])

    def accuracy(split: str) -> float:
        batches = pixels(given[f"{split}_images"]).split(256)
        with torch.inference_mode():
            found = [head(network(weights, batch, size)).argmax(dim=1) for batch in batches]
        return float((torch.cat(found).numpy() == given[f"{split}_labels"]).mean())

    seconds, found = [], []
    for _ in range(epochs):
        start = time.perf_counter()
        for batch in torch.randperm(len(images)).split(batch_size):
            flips = torch.rand(len(batch), 1, 1, 1) < 0.5
            shown = torch.where(flips, images[batch].flip(3), images[batch])
            optimizer.zero_grad()
            with mixed:
                answers = head(functional.dropout(network(weights, shown, size, training=True), 0.2))
            functional.cross_entropy(answers.float(), labels[batch], label_smoothing=smoothing).backward()
            optimizer.step()
            schedule.step()
        found.append(accuracy("validation"))
        seconds.append(time.perf_counter() - start)
    return {"accuracy": accuracy("test"), "epochs": seconds, "validation": found}


def main() -> None:
    with np.load(sys.argv[1]) as archive:
        given = dict(archive)
    weights = read_weights(given)
    print(json.dumps({"torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        result: Any = None
        if (asked := line.strip()) in ("train", "fine_tune"):
            result = (train if asked == "train" else fine_tune)(given)
        else:
            np.save(sys.argv[2], compute(weights, given["images"], int(given["size"])).numpy())
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
