"""Named predictions of new images, decoded as those that the model was trained on."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from transferkit.data.checks import check_class_names, check_images
from transferkit.data.decoding import Decoding, Fit, decode_image, decode_opened
from transferkit.data.folders import FITS, check_choice, check_decoding
from transferkit.data.formats import looks_like_image
from transferkit.data.listing import Walk, describe_unreadable, show_path
from transferkit.data.notices import say
from transferkit.data.splits import is_int
from transferkit.deploy.engines import Engine, check_sides, open_engine
from transferkit.deploy.metadata import metadata_of
from transferkit.errors import DataError, InvalidInputError, list_some, warn
from transferkit.runs.metrics import check_probabilities, of_both_classes

if TYPE_CHECKING:
    import pandas as pd

    from transferkit.data.dataset import Dataset

_BATCH: Final = 64


class ImageClassifier:
    """A trained model with the names of its classes, which decodes files as its training images were decoded.

    Make one where a model answers again and again; `transferkit.predict` does it for one call.

    Parameters
    ----------
    source : Run, keras.Model, scikit-learn classifier or path-like
        A path is the folder of a saved run, a file that `transferkit.export` wrote, or any ``.keras``, ``.tflite`` or
        ``.onnx`` file or SavedModel with one input of raw pixels and softmax output.
    data : Dataset, optional
        What the model was trained on, where the source does not know: a bare Keras model, or a foreign file.
    class_names : sequence of str, optional
        Names in the order of the outputs, if not those of the source or of `data`. ``"0"``, ``"1"``, ... if nothing says.
    fit : {"stretch", "crop", "pad"}, optional
        How files of another aspect ratio are fitted, if not as the source or `data` says.

    Attributes
    ----------
    class_names : tuple of str or None
        In the order of the outputs; None if nothing says.
    decoding : Decoding or None
        How files are decoded.

    Raises
    ------
    InvalidInputError
        If the source is no model, or an option makes no sense.
    DataError
        If there is no model at the path.
    MissingDependencyError
        If the package that runs such a file is not installed.

    Examples
    --------
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> run = tk.train(tk.build_cnn(filters=(4, 8)), data, epochs=1, verbose=False)
    >>> classifier = tk.ImageClassifier(run)
    >>> classifier.class_names[-1]
    'Ankle boot'
    >>> list(classifier.predict(data.test.images[:2], top=2))
    ['predicted', 'probability', 'predicted_2', 'probability_2']
    """

    def __init__(
        self,
        source: Any,
        *,
        data: "Dataset | None" = None,
        class_names: Iterable[str] | None = None,
        fit: Fit | None = None,
    ) -> None:
        self._engine: Engine = open_engine(source)
        known = self._engine.metadata if data is None else metadata_of(data)
        self.class_names = known.class_names if class_names is None else check_class_names(class_names)
        shape = self._engine.input_shape or known.image_shape
        self._shape = check_sides(tuple(shape)) if shape is not None else None
        self.decoding = _choose_decoding(known.decoding, self._shape, known.image_shape, fit)
        self._fit_is_known = known.decoding is not None or fit is not None

    def predict(
        self,
        images: Any,
        *,
        top: int = 1,
        probabilities: bool = False,
        flips: bool = False,
        on_error: Literal["raise", "skip"] = "raise",
    ) -> "pd.DataFrame":
        """Predict images; see `transferkit.predict`.

        Parameters
        ----------
        images : array_like, path-like, or sequence of files, bytes or PIL images
            As in `transferkit.predict`.
        top, probabilities, flips, on_error
            As in `transferkit.predict`.

        Returns
        -------
        DataFrame
            One row an image.

        Raises
        ------
        DataError
            If images or files are not as they should be.
        InvalidInputError
            If an option makes no sense, or the model puts out no probabilities.
        """
        if not is_int(top) or top < 1:
            raise InvalidInputError(f"top must be an int of 1 or more; got {top!r}.")
        if on_error not in ("raise", "skip"):
            raise InvalidInputError(f"on_error must be 'raise' or 'skip'; got {on_error!r}.")
        names, batches = self._batches(images, on_error)
        labels: list[Any] = []
        parts: list[NDArray[np.float32]] = []
        rows = 0
        for batch_names, batch in batches:
            labels += batch_names
            rows = max(rows, len(batch))
            if len(batch):
                parts.append(self._compute(batch, rows=rows, flips=flips))
        if not parts:
            raise DataError("none of the images can be read.")
        return self._frame(labels, names, np.concatenate(parts), top=int(top), every=probabilities)

    def _compute(self, batch: NDArray[np.uint8], *, rows: int, flips: bool) -> NDArray[np.float32]:
        if len(batch) < rows:  # TensorFlow traces a network anew for each number of images
            padded = np.concatenate([batch, np.repeat(batch[-1:], rows - len(batch), axis=0)])
            return self._compute(padded, rows=rows, flips=flips)[: len(batch)]
        answers = self._engine.compute(batch)
        if flips:
            answers = (answers + self._engine.compute(np.ascontiguousarray(batch[:, :, ::-1]))) / np.float32(2)
        return answers

    def _frame(
        self, labels: list[Any], index_name: str, answers: NDArray[np.float32], *, top: int, every: bool
    ) -> "pd.DataFrame":
        import pandas as pd

        answers = of_both_classes(answers)
        classes = answers.shape[1]
        names = self.class_names or tuple(str(number) for number in range(classes))
        if self._engine.may_lack_classes and classes < len(names):
            answers = np.pad(answers, ((0, 0), (0, len(names) - classes)))
        if answers.shape[1] != len(names):
            raise InvalidInputError(f"the model has {classes} outputs, but there are {len(names)} class names.")
        check_probabilities(answers, what="the model's output")
        if top > len(names):
            raise InvalidInputError(f"top={top} asks for more than the {len(names)} classes.")
        order = np.argsort(-answers, axis=1, kind="stable")
        columns: dict[str, Any] = {}
        for place in range(top):
            chosen = order[:, place]
            suffix = f"_{place + 1}" if place else ""
            columns[f"predicted{suffix}"] = [names[number] for number in chosen]
            columns[f"probability{suffix}"] = answers[np.arange(len(answers)), chosen]
        if every:
            columns |= {f"p({name})": answers[:, number] for number, name in enumerate(names)}
        return pd.DataFrame(columns, index=pd.Index(labels, name=index_name))

    # What is given

    def _batches(self, images: Any, on_error: str) -> tuple[str, Iterator[tuple[list[Any], NDArray[np.uint8]]]]:
        """Return what the rows are called by, and batches of their names and images."""
        if isinstance(images, bytes | bytearray) or _is_picture(images) or hasattr(images, "read"):
            images = [images]
        if isinstance(images, str | os.PathLike):
            files = _list_files(Path(images).expanduser())
            return "file", self._decoded(files, [str(name) for name, _ in files], on_error)
        if isinstance(images, Iterator) or _is_column(images):  # of Path.glob, of a table
            images = list(images)
        if isinstance(images, Sequence | set | frozenset) and images and all(map(_is_encoded, images)):
            given = list(images)
            if all(isinstance(one, str | os.PathLike) for one in given):
                files = [(os.fspath(one), Path(one).expanduser()) for one in given]
                return "file", self._decoded(files, [show_path(name) for name, _ in files], on_error)
            return "image", self._decoded(list(enumerate(given)), list(range(len(given))), on_error)
        return "image", self._arrays(images)

    def _arrays(self, images: Any) -> Iterator[tuple[list[Any], NDArray[np.uint8]]]:
        array = check_images(images, name="images")
        shape = self._shape
        if shape is not None and any(
            want not in (None, have) for have, want in zip(array.shape[1:], shape, strict=True)
        ):
            size = "x".join(str(side) for side in shape[:2])
            raise DataError(
                f"images have shape {array.shape[1:]}, but the model takes {shape}. Give files, which are decoded to {size}"
                f" as the training images were, or arrays from load_image(file, image_size={shape[:2]}, ...)."
            )
        for start in range(0, len(array), _BATCH):
            piece = array[start : start + _BATCH]
            yield list(range(start, start + len(piece))), np.asarray(piece)

    def _decoded(
        self, sources: Sequence[tuple[Any, Any]], labels: Sequence[Any], on_error: str
    ) -> Iterator[tuple[list[Any], NDArray[np.uint8]]]:
        decoding = self.decoding
        if decoding is None:
            raise InvalidInputError(
                "nothing says at which size this model takes its images, so files cannot be decoded for it. Give the Dataset that"
                " it was trained on in data=, or arrays."
            )
        if not self._fit_is_known:
            how = (
                "nothing says how the training images were fitted to their size, so these are stretched; fit= says it ('stretch',"
                " 'crop' or 'pad')"
            )
            say("", [how])

        def decode(source: Any) -> NDArray[np.uint8] | str:
            try:
                if _is_picture(source):
                    return decode_opened(source, decoding)
                content = (
                    source if isinstance(source, Path) else source.read() if hasattr(source, "read") else bytes(source)
                )
                return decode_image(content, decoding).array
            except DataError as error:
                return str(error)

        failures: dict[Any, str] = {}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(sources), _BATCH):
                results = list(pool.map(decode, [source for _, source in sources[start : start + _BATCH]]))
                named = list(zip(labels[start : start + _BATCH], results, strict=True))
                failures |= {label: result for label, result in named if isinstance(result, str)}
                if failures and on_error == "raise":
                    listed = list_some(f"{label}: {reason}" for label, reason in failures.items())
                    raise DataError(f"images cannot be read: {listed}. Repair them, or pass on_error='skip'.")
                good = [(label, result) for label, result in named if not isinstance(result, str)]
                arrays = np.array([result for _, result in good], dtype=np.uint8).reshape(-1, *decoding.shape)
                yield [label for label, _ in good], arrays
        if failures:
            listed = list_some(f"{label} ({reason})" for label, reason in failures.items())
            warn(f"skipped {len(failures)} of {len(sources)} images that cannot be read: {listed}.")


def _choose_decoding(
    known: Decoding | None, shape: tuple[int | None, ...] | None, trained: tuple[int, int, int] | None, fit: Fit | None
) -> Decoding | None:
    """Return how files are decoded: as the training images were, else to the size that the model takes."""
    if known is not None:
        return known if fit is None else replace(known, fit=check_choice("fit", fit, FITS))
    sides = shape if shape is not None and None not in shape else trained
    if sides is None or sides[2] not in (1, 3):
        return None
    return check_decoding(sides[:2], "rgb" if sides[2] == 3 else "grayscale", fit or "stretch")


def _is_picture(value: Any) -> bool:
    return hasattr(value, "getextrema") and hasattr(value, "convert")  # a PIL.Image.Image, without importing Pillow


def _is_column(value: Any) -> bool:
    return getattr(value, "ndim", 0) == 1 and getattr(getattr(value, "dtype", None), "kind", "") in ("O", "U", "T")


def _is_encoded(value: Any) -> bool:
    return isinstance(value, str | os.PathLike | bytes | bytearray) or hasattr(value, "read") or _is_picture(value)


def _list_files(path: Path) -> list[tuple[str, Path]]:
    """Return the images below a folder, or the one file, with the names to call them by."""
    if not path.exists():
        pattern = (
            f" For a pattern, give Path({str(path.parent)!r}).glob({path.name!r})." if set(path.name) & {*"*?["} else ""
        )
        raise DataError(f"{show_path(path)} does not exist. Give a file or a folder.{pattern}")
    if not path.is_dir():
        return [(show_path(path), path)]
    found = list(Walk().files(path))
    say(f"{show_path(path)}: ", describe_unreadable(path, found))
    files = [file for file in found if looks_like_image(file)]
    if not files:
        raise DataError(f"{show_path(path)} holds no image files.")
    return [(show_path(file.relative_to(path).as_posix()), file) for file in files]


def predict(
    model: Any,
    images: Any,
    *,
    top: int = 1,
    probabilities: bool = False,
    flips: bool = False,
    data: "Dataset | None" = None,
    class_names: Iterable[str] | None = None,
    fit: Fit | None = None,
    on_error: Literal["raise", "skip"] = "raise",
) -> "pd.DataFrame":
    """Predict images, and say by name what is on them.

    Files are decoded as the training images were: size, colours and fit travel with a run and with an exported file.

    Parameters
    ----------
    model : Run, keras.Model, scikit-learn classifier, ImageClassifier or path-like
        A path is the folder of a saved run, or a file that `transferkit.export` wrote.
    images : array_like of uint8, path-like, or sequence of files, bytes or PIL images
        Raw pixels of shape (n, height, width, channels) at the size that the model takes; a file; a folder, of which all
        images are predicted; or a list of files, of their contents (``bytes``, open binary files), or of PIL images.
    top : int, default 1
        How many classes are named, the most probable first.
    probabilities : bool, default False
        Whether each class has a column of its own as well.
    flips : bool, default False
        Whether the mean of an image and its mirror image is taken: a little more accurate, and twice the work.
    data : Dataset, optional
        What the model was trained on, if the model does not know its classes and decoding: a bare Keras model.
    class_names : sequence of str, optional
        Names in the order of the outputs, if nothing else says them.
    fit : {"stretch", "crop", "pad"}, optional
        How files of another aspect ratio are fitted, if nothing else says it.
    on_error : {"raise", "skip"}, default "raise"
        Whether files that cannot be read are an error, or left out with a warning that names them.

    Returns
    -------
    DataFrame
        One row an image, called by its file (relative to the folder that was given) or its place: ``predicted`` (name) and
        ``probability``; with `top` also ``predicted_2``, ``probability_2``, ...; with `probabilities` also ``p(name)`` of each
        class. ``.to_csv(file)`` writes it.

    Raises
    ------
    DataError
        If images have another size than the model takes or no batch axis, or files cannot be read.
    InvalidInputError
        If the model is none, puts out no probabilities, or an option makes no sense.
    MissingDependencyError
        If the package that runs such a file is not installed.

    Warns
    -----
    TransferKitWarning
        If files were skipped, or nothing says how files are to be fitted.

    Examples
    --------
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> run = tk.train(tk.build_baseline("naive_bayes"), data, verbose=False)
    >>> tk.predict(run, data.test.images[:2])
             predicted  probability
    image
    0       Ankle boot          1.0
    1         Pullover          1.0
    """
    if isinstance(model, ImageClassifier):
        classifier = model
    else:
        classifier = ImageClassifier(model, data=data, class_names=class_names, fit=fit)
    return classifier.predict(images, top=top, probabilities=probabilities, flips=flips, on_error=on_error)
