"""A comparison with a pretrained model, and the runs of one architecture, from scratch, frozen and fine-tuned."""

from dataclasses import replace

import pytest

from transferkit.report.comparison import compare_runs

PROVENANCE = {
    "source": "offline-wheel",
    "sha256": "91bc" * 16,
    "backbone": "mobilenet",
    "width": 1.0,
    "resolution": 224,
    "image_size": 64,
    "file": "mobilenet.pb",
}


@pytest.fixture
def provenance():
    return dict(PROVENANCE)


@pytest.fixture
def comparison(weak, strong, diverged):
    pretrained = replace(strong, model_info=strong.model_info | {"provenance": PROVENANCE}, notes=["a note of its own"])
    return compare_runs([weak, pretrained, diverged])


@pytest.fixture
def make_transfer(make_run):
    """Return a function that makes one run of a MobileNet; `source` "random" is from scratch, few trainable weights are frozen."""

    def make(name, strength, source="download", trainable=3_000_000, seconds=60.0, **options):
        info = {"parameters": 3_200_000, "trainable_parameters": trainable, "layers": 90}
        info["provenance"] = PROVENANCE | {"source": source}
        phases = [{"name": "train", "epochs": 5, "seconds": seconds, "images": 3000, "trainable_parameters": trainable}]
        return make_run(name, strength, model_info=info, phases=phases, **options)

    return make


@pytest.fixture
def transfer_runs(make_transfer):
    return [
        make_transfer("scratch", 1e-4, source="random", seconds=100.0),
        make_transfer("frozen", 3e-4, trainable=10_000, seconds=5.0),
        make_transfer("fine-tuned", 0.1, seconds=70.0),
    ]
