"""What the defaults make of a folder of photographs: frozen features, fine-tuning, fine-tuning with augmentation, and `tune`.

    python benchmarks/own_photographs.py FOLDER [--per-class 20] [--size 96] [--minutes 5] [--seeds 0 1 2] [--weights PATH]

40% of the photographs are the test images, 15% validate, and the rest, or some of each class of it, train. Test accuracy.
"""

import argparse
import time

import machine

import transferkit as tk

parser = argparse.ArgumentParser(description="Accuracy on photographs of one's own")
parser.add_argument("folder")
parser.add_argument("--per-class", type=int, help="training images of each class; all if left out")
parser.add_argument("--size", type=int, default=96)
parser.add_argument("--minutes", type=float, default=5)
parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
parser.add_argument("--weights", default=True, help="a file of MobileNet's ImageNet weights")
arguments = parser.parse_args()

print(machine.describe_machine(), "\n")
data = tk.load_image_folder(
    arguments.folder, image_size=arguments.size, validation=0.15, test=0.4, labels_per_class=arguments.per_class
)
print(data, "\n")
quiet = {"verbose": False}


def build(seed):
    size, shape = arguments.size, data.image_shape
    options = {"num_classes": data.num_classes, "input_shape": shape, "image_size": size, "seed": seed}
    return tk.build_transfer_model("mobilenet", pretrained=arguments.weights, **options)


ways = {
    "frozen, logistic": lambda seed: tk.fit_head(build(seed), data, seed=seed, **quiet),
    "fine_tune": lambda seed: tk.fine_tune(build(seed), data, seed=seed, **quiet),
    "fine_tune, augment='centred'": lambda seed: tk.fine_tune(build(seed), data, seed=seed, augment="centred", **quiet),
    f"tune(minutes={arguments.minutes:g})": lambda seed: (
        tk.tune(data, arguments.minutes, pretrained=arguments.weights, seed=seed, **quiet).run
    ),
}
rows = []
for name, way in ways.items():
    start = time.perf_counter()
    found = [way(seed).metrics["accuracy"] for seed in arguments.seeds]
    seconds = (time.perf_counter() - start) / len(found)
    rows.append([name, ", ".join(f"{accuracy:.1%}" for accuracy in found), f"{seconds:.0f}"])
machine.print_table(["way", f"seeds {arguments.seeds}", "seconds"], rows)
