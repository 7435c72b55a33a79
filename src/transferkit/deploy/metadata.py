"""What travels with a model: the names of its classes, and how its images were decoded.

One JSON text, kept where each format has room for it: in a ``.keras`` file a member of the archive that Keras does not
read; in a LiteRT file an associated file (a zip archive behind the model, beside ``labels.txt``); in ONNX the metadata
properties; in a SavedModel the folder ``assets.extra``.
"""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from transferkit.data.checks import check_class_names
from transferkit.data.decoding import Decoding
from transferkit.data.description import DecodingRecord
from transferkit.data.folders import check_decoding
from transferkit.errors import DataError

if TYPE_CHECKING:
    from transferkit.data.dataset import Dataset
    from transferkit.runs.run import Run

NAME: Final = "transferkit.json"
LABELS: Final = "labels.txt"
EXTRA: Final = "assets.extra"
_SCHEMA: Final = 1


@dataclass(frozen=True)
class ModelMetadata:
    """What is known of a model's classes and images; anything may be unknown (None).

    Parameters
    ----------
    class_names : tuple of str, optional
        In the order of the outputs.
    image_shape : tuple of int, optional
        Height, width and channels of the images that it was trained on.
    decoding : Decoding, optional
        How files became these images.
    dataset : str, default ""
        What it was trained on.
    """

    class_names: tuple[str, ...] | None = None
    image_shape: tuple[int, int, int] | None = None
    decoding: Decoding | None = None
    dataset: str = ""

    def to_json(self) -> str:
        """Return the text that is kept with a model."""
        return json.dumps({"schema": _SCHEMA, **asdict(self)}, ensure_ascii=False, indent=1)


def metadata_of(source: "Run | Dataset") -> ModelMetadata:
    """Return what a run or a dataset knows."""
    facts = source.dataset if hasattr(source, "dataset") else source.describe()
    return _read(
        {
            "class_names": source.class_names,
            "image_shape": facts.get("image_shape"),
            "decoding": facts.get("decoding"),
            "dataset": facts.get("name"),
        }
    )


def parse_metadata(text: str | bytes, *, where: object) -> ModelMetadata:
    """Return what a text of `ModelMetadata.to_json` says.

    Raises
    ------
    DataError
        If it is another text.
    """
    try:
        return _read(json.loads(text))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise DataError(f"{where}: {NAME} in it does not describe a model ({error}). Export the model again.") from None


def _read(facts: Any) -> ModelMetadata:
    names, shape, decoding = facts["class_names"], facts.get("image_shape"), facts.get("decoding")
    return ModelMetadata(
        class_names=None if names is None else check_class_names(names),
        image_shape=None if shape is None else (int(shape[0]), int(shape[1]), int(shape[2])),
        decoding=None if decoding is None else _read_decoding(decoding),
        dataset=str(facts.get("dataset") or ""),
    )


def _read_decoding(facts: DecodingRecord) -> Decoding:
    size = facts["height"], facts["width"]
    return check_decoding(size, facts["color_mode"], facts["fit"], facts["max_pixels"], facts["bit_depth"])


def append_archive(file: Path, metadata: ModelMetadata) -> None:
    """Add the metadata to a ``.keras`` file, or behind a LiteRT file, whose reader does not look there."""
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(NAME, metadata.to_json())
        if metadata.class_names is not None:
            archive.writestr(LABELS, write_labels(metadata.class_names))


def read_archive(file: Path) -> ModelMetadata:
    """Return the metadata of a ``.keras`` or LiteRT file; nothing is known of a file without."""
    try:
        with zipfile.ZipFile(file) as archive:
            text = archive.read(NAME)
    except (zipfile.BadZipFile, KeyError):
        return ModelMetadata()
    return parse_metadata(text, where=file)


def write_labels(class_names: Sequence[str]) -> str:
    """Return the text of a label file: one class a line."""
    return "\n".join(" ".join(name.split()) for name in class_names) + "\n"
