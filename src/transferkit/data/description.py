"""What a record says of a dataset."""

from typing import Literal

from typing_extensions import ReadOnly, TypedDict


class DecodingRecord(TypedDict):
    """How files became images of one size, so that others can be decoded alike; see `transferkit.load_image_folder`."""

    height: ReadOnly[int]
    width: ReadOnly[int]
    color_mode: ReadOnly[Literal["rgb", "grayscale"]]
    fit: ReadOnly[Literal["stretch", "crop", "pad"]]
    max_pixels: ReadOnly[int]
    bit_depth: ReadOnly[int]


class DatasetRecord(TypedDict, total=False):
    """The facts of a `transferkit.Dataset`, as ``describe`` gives them; a run of another program may know fewer.

    ``fingerprint`` is the SHA-256 of all images and labels, the others those of one split. ``labels_per_class`` and
    ``split_seed`` are None unless images were drawn. ``image_shape`` is (height, width, channels). Of images from files there
    are ``decoding`` and the files of each held-out split, relative to the folder that was loaded. ``test_clusters`` are equal
    numbers for test images that belong together or are equal; absent if all are by themselves.
    """

    name: ReadOnly[str | None]
    source: ReadOnly[str | None]
    fingerprint: ReadOnly[str | None]
    train_fingerprint: ReadOnly[str | None]
    validation_fingerprint: ReadOnly[str | None]
    test_fingerprint: ReadOnly[str | None]
    train_size: ReadOnly[int | None]
    validation_size: ReadOnly[int | None]
    test_size: ReadOnly[int | None]
    labels_per_class: ReadOnly[int | None]
    split_seed: ReadOnly[int | None]
    image_shape: ReadOnly[list[int] | None]
    decoding: ReadOnly[DecodingRecord]
    validation_files: ReadOnly[list[str]]
    test_files: ReadOnly[list[str]]
    test_clusters: ReadOnly[list[int]]
