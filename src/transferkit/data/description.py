"""What a record says of a dataset."""

from typing_extensions import ReadOnly, TypedDict


class DatasetRecord(TypedDict, total=False):
    """The facts of a `transferkit.Dataset`, as ``describe`` gives them; a run of another program may know fewer.

    ``fingerprint`` is the SHA-256 of all images and labels, the others those of one split. ``labels_per_class`` and
    ``split_seed`` are None unless images were drawn. ``image_shape`` is (height, width, channels).
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
