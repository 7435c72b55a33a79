"""MNIST and Fashion-MNIST: found or fetched, verified to the last byte, split."""

import hashlib
import os
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transferkit import files
from transferkit.data.dataset import Dataset, Split, hold_out_validation
from transferkit.data.idx import encode_idx, parse_idx, read_payload
from transferkit.data.splits import check_labels_per_class, check_seed, resolve_size
from transferkit.errors import DataError, DownloadError, LockTimeoutError, StorageError, warn

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")


@dataclass(frozen=True)
class IdxFile:
    """One file of the collection: its name, shape, the SHA-256 of its decompressed content, and the MD5 of its .gz."""

    stem: str
    npz_key: str
    shape: tuple[int, ...]
    sha256: str
    gz_md5: str

    @property
    def payload_bytes(self) -> int:
        """How long the decompressed file is."""
        return 4 + 4 * len(self.shape) + int(np.prod(self.shape))

    @property
    def names(self) -> tuple[str, ...]:
        """The names that this file goes by: as published, and with the dot of other copies, compressed or not."""
        dotted = self.stem.replace("-idx", ".idx")
        return self.stem, f"{self.stem}.gz", dotted, f"{dotted}.gz"


@dataclass(frozen=True)
class Collection:
    """Four files that make a dataset, and where they can be had."""

    name: str
    title: str
    class_names: tuple[str, ...]
    files: tuple[IdxFile, IdxFile, IdxFile, IdxFile]
    mirrors: tuple[str, ...]
    keras_path: str
    debian_folder: Path | None
    cure: str


def _files(*sums: tuple[str, str]) -> tuple[IdxFile, IdxFile, IdxFile, IdxFile]:
    return (
        IdxFile("train-images-idx3-ubyte", "x_train", (60_000, 28, 28), *sums[0]),
        IdxFile("train-labels-idx1-ubyte", "y_train", (60_000,), *sums[1]),
        IdxFile("t10k-images-idx3-ubyte", "x_test", (10_000, 28, 28), *sums[2]),
        IdxFile("t10k-labels-idx1-ubyte", "y_test", (10_000,), *sums[3]),
    )


FASHION_MNIST = Collection(
    name="fashion-mnist",
    title="Fashion-MNIST",
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    files=_files(
        ("c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9", "25c81989df183df01b3e8a0aad5dffbe"),
        ("5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b", "bef4ecab320f06d8554ea6380940ec79"),
        ("0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34", "bb300cfdad3c16e7a12a480ee83cd310"),
    ),
    mirrors=(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    keras_path="fashion-mnist",
    debian_folder=DEBIAN_FOLDER,
    cure="Give a folder that holds the files with path=, or run: apt-get install dataset-fashion-mnist",
)

# The sums of the decompressed MNIST files are those that many independent projects publish beside the same .gz MD5s.
MNIST = Collection(
    name="mnist",
    title="MNIST",
    class_names=tuple("0123456789"),
    files=_files(
        ("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", "d53e105ee54ea40749a09fcbcd1e9432"),
        ("0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", "9fb629c4189551a2d022fa330f9573f3"),
        ("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", "ec29112dd5afa0611ce80d1b7f02629c"),
    ),
    mirrors=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    keras_path="mnist.npz",
    debian_folder=None,
    cure="Give the folder of the four files, or Keras's mnist.npz, with path=",
)
_COLLECTIONS = (FASHION_MNIST, MNIST)


def load_fashion_mnist(
    *,
    validation: float = 10_000,
    seed: int = 0,
    labels_per_class: int | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Load Fashion-MNIST: 70,000 grey images of clothes, 28x28 pixels, 10 classes [1]_.

    The files are looked for in `path` or else in the cache of transferkit, the cache of Keras, the folder of Debian's
    package ``dataset-fashion-mnist`` and on public mirrors. The SHA-256 of their decompressed content is checked, whichever
    way they were packed; other or damaged files are refused. They are then kept decompressed in the cache.

    Parameters
    ----------
    validation : int or float, default 10_000
        How many of the 60,000 official training images become the validation split, as a count or a fraction;
        stratified and seeded. With 0 all 60,000 are training images.
    seed : int, default 0
        Decides which images are validation images and, with `labels_per_class`, which training images are kept.
    labels_per_class : int, optional
        Keep this many training images of each class. Sets of the same seed are nested: the 10 per class are among the
        100 per class. All of them if None.
    path : path-like, optional
        A folder with the four IDX files (compressed or not), or an ``.npz`` file with ``x_train``, ``y_train``,
        ``x_test``, ``y_test``. Nothing else is looked at then.

    Returns
    -------
    Dataset
        Images are uint8 of shape (n, 28, 28, 1), labels int64 of shape (n,); 50,000 training, 10,000 validation and 10,000
        test images. The test split is the official one in its official order.

    Raises
    ------
    DownloadError
        If no source has the files. The message names each one, what it said, and what to do.
    DataError
        If the files in `path` are missing, damaged, or another dataset's.
    InvalidInputError
        If another argument makes no sense.

    References
    ----------
    .. [1] Xiao, Rasul, Vollgraf (2017), Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms,
       arXiv:1708.07747. MIT licence.

    Examples
    --------
    >>> import transferkit as tk
    >>> tk.load_fashion_mnist(labels_per_class=100)
    Dataset('fashion-mnist', 10 classes, 28x28x1, train 1,000, validation 10,000, test 10,000)
    """
    return load_collection(
        FASHION_MNIST, validation=validation, seed=seed, labels_per_class=labels_per_class, path=path
    )


def load_mnist(
    *,
    validation: float = 10_000,
    seed: int = 0,
    labels_per_class: int | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Load MNIST: 70,000 handwritten digits, 28x28 pixels, 10 classes [1]_.

    Works like `load_fashion_mnist`, and splits in the same way.

    Parameters
    ----------
    validation : int or float, default 10_000
        How many of the 60,000 official training images become the validation split, as a count or a fraction.
    seed : int, default 0
        Decides which images are validation images and, with `labels_per_class`, which training images are kept.
    labels_per_class : int, optional
        Keep this many training images of each class. All of them if None.
    path : path-like, optional
        A folder with the four IDX files (compressed or not), or an ``.npz`` file like Keras's ``mnist.npz``.

    Returns
    -------
    Dataset
        Images are uint8 of shape (n, 28, 28, 1), labels int64 of shape (n,); 50,000 training, 10,000 validation and 10,000
        test images.

    Raises
    ------
    DownloadError
        If no source has the files. The message names each one, what it said, and what to do.
    DataError
        If the files in `path` are missing, damaged, or another dataset's.
    InvalidInputError
        If another argument makes no sense.

    References
    ----------
    .. [1] LeCun, Bottou, Bengio, Haffner (1998), Gradient-based learning applied to document recognition, Proceedings of the
       IEEE 86(11), 2278-2324. doi:10.1109/5.726791

    Examples
    --------
    >>> import transferkit as tk
    >>> tk.load_mnist()
    Dataset('mnist', 10 classes, 28x28x1, train 50,000, validation 10,000, test 10,000)
    """
    return load_collection(MNIST, validation=validation, seed=seed, labels_per_class=labels_per_class, path=path)


def load_collection(
    collection: Collection,
    *,
    validation: float,
    seed: int,
    labels_per_class: int | None,
    path: str | os.PathLike[str] | None,
) -> Dataset:
    """Load the four files of `collection` and split them; the work behind the public loaders."""
    split_seed = check_seed(seed)
    if labels_per_class is not None:
        check_labels_per_class(labels_per_class)
    validation_size = resolve_size(validation, collection.files[1].shape[0], name="validation")  # before any long work
    place = None if path is None else files.as_path(path, "path")
    if place is not None and not place.exists():
        raise DataError(f"path={str(place)!r} does not exist. Give a folder with the four IDX files, or an .npz file.")
    arrays = [parse_idx(load_payload(collection, file, place), name=file.stem) for file in collection.files]
    train = Split(arrays[0][..., None], arrays[1].astype(np.int64))
    test = Split(arrays[2][..., None], arrays[3].astype(np.int64))
    for labels in (train.labels, test.labels):
        labels.flags.writeable = False
    train, held = hold_out_validation(train, validation_size, seed=split_seed)
    dataset = Dataset(
        name=collection.name,
        class_names=collection.class_names,
        train=train,
        validation=held,
        test=test,
        source=f"{collection.title}, official files, verified by SHA-256",
        split_seed=split_seed,
    )
    return dataset if labels_per_class is None else dataset.subset(labels_per_class, seed=split_seed)


def load_payload(collection: Collection, file: IdxFile, path: Path | None) -> bytes:
    """Return the verified content of one file, from `path` or else from the first source that has it.

    Safe among processes: one fetches, the others wait for it.
    """
    target = files.cache_home() / "datasets" / collection.name / file.stem
    if path is not None:
        payload = read_local(collection, file, path)
        if read_kept(file, target) is None:
            _keep(payload, target)
        return payload
    if (kept := read_kept(file, target)) is not None:
        return kept
    try:
        with files.lock(target, what=collection.title):
            if (kept := read_kept(file, target)) is not None:
                return kept
            files.remove_leftovers(target)
            payload = find_payload(collection, file, target.with_name(f".{file.stem}.download"))
            _keep(payload, target)
            return payload
    except LockTimeoutError:
        raise
    except StorageError as error:  # neither a lock nor a file where nothing can be written
        _warn_unkept(target, error)
        with tempfile.TemporaryDirectory() as folder:
            return find_payload(collection, file, Path(folder) / "download")


def read_kept(file: IdxFile, target: Path) -> bytes | None:
    """Return the content of a file in the cache, or None if it is not there or damaged."""
    try:
        if target.stat().st_size != file.payload_bytes:
            return None
        payload = target.read_bytes()
    except OSError:
        return None
    return payload if hashlib.sha256(payload).hexdigest() == file.sha256 else None


def _keep(payload: bytes, target: Path) -> None:
    try:
        with files.atomic_write(target, what="the dataset") as stream:
            stream.write(payload)
    except StorageError as error:
        _warn_unkept(target, error)


def _warn_unkept(target: Path, error: StorageError) -> None:
    warn(
        f"the dataset cannot be kept in {target.parent} ({os.strerror(error.errno or 0)}), so each load takes the long way."
        " Set TRANSFERKIT_HOME to a folder that can be written."
    )


def find_payload(collection: Collection, file: IdxFile, download: Path) -> bytes:
    """Return the verified content of a file from the first source that has it.

    Parameters
    ----------
    collection : Collection
        The dataset.
    file : IdxFile
        One of its files.
    download : Path
        A folder to download into; removed afterwards.

    Raises
    ------
    DownloadError
        If no source has it; the message has one line per source.
    """
    failures = []
    local = [("Keras's cache", files.keras_home() / "datasets" / collection.keras_path)]
    if collection.debian_folder is not None:
        local.append(("Debian's package", collection.debian_folder))
    for title, place in local:
        try:
            if place.exists():
                return read_local(collection, file, place)
            failures.append(f"{title}: {place} does not exist")
        except (DataError, OSError) as error:
            failures.append(f"{title}: {error}")
    for mirror in collection.mirrors:
        with files.scratch_folder(download) as folder:
            name = f"{file.stem}.gz"
            try:
                files.download(mirror + name, folder / name, md5=file.gz_md5)
                payload = read_payload(folder / name, max_bytes=file.payload_bytes)
                verify_payload(payload, collection, file, name=mirror + name)
            except (DownloadError, DataError) as error:
                failures.append(f"mirror: {error}")
            else:
                return payload
    tried = "\n".join(f"  - {failure}" for failure in [f"transferkit's cache: not in {download.parent}", *failures])
    raise DownloadError(
        f"{collection.title}: {file.stem} could not be had from any source.\n{tried}\n{collection.cure}."
    )


def read_local(collection: Collection, file: IdxFile, path: Path) -> bytes:
    """Return the verified content of a file from a folder of IDX files or an ``.npz`` file, or raise `DataError`."""
    if path.is_dir():
        place = next((path / name for name in file.names if (path / name).exists()), None)
        if place is None:
            raise DataError(f"{path} holds neither {file.stem} nor {file.stem}.gz.")
        payload = read_payload(place, max_bytes=max(file.payload_bytes, 1 << 26))
        verify_payload(payload, collection, file, name=str(place))
        return payload
    files.check_file(path)
    if not zipfile.is_zipfile(path):
        raise DataError(
            f"{path} is not an .npz file. Give the folder that holds the four IDX files, or an .npz file with x_train,"
            " y_train, x_test, y_test."
        )
    payload = encode_idx(_read_npz(path, file))
    verify_payload(payload, collection, file, name=f"{path}[{file.npz_key!r}]")
    return payload


def _read_npz(path: Path, file: IdxFile) -> NDArray[np.uint8]:
    name = f"{path}[{file.npz_key!r}]"
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            member = f"{file.npz_key}.npy"
            if members.count(member) != 1:
                raise DataError(f"{path} holds no single {file.npz_key!r}; it has {', '.join(sorted(members)[:8])}.")
            if archive.getinfo(member).file_size > 8 * file.payload_bytes + 4096:  # int64 at most
                raise DataError(f"{name} is larger than {file.stem} can be. It is not this data.")
        with np.load(path, allow_pickle=False) as arrays:
            array = arrays[file.npz_key]
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{name} cannot be read ({error}). The file is damaged, or holds objects instead of numbers."
        ) from None
    if array.dtype.kind not in "iu" or array.size != np.prod(file.shape):
        raise DataError(f"{name} is {array.dtype} of shape {array.shape}; expected uint8 of shape {file.shape}.")
    if array.min() < 0 or array.max() > 255:
        raise DataError(f"{name} goes from {array.min()} to {array.max()}; expected 0 to 255.")
    return array.astype(np.uint8).reshape(file.shape)


def verify_payload(payload: bytes, collection: Collection, file: IdxFile, *, name: str) -> None:
    """Raise `DataError` that says what the content is, unless it is exactly the official file."""
    digest = hashlib.sha256(payload).hexdigest()
    if digest == file.sha256:
        return
    for other in {collection.name: collection, **{known.name: known for known in _COLLECTIONS}}.values():
        for known in other.files:
            if digest == known.sha256:
                raise DataError(f"{name} is {known.stem} of {other.title}; expected {file.stem} of {collection.title}.")
    array = parse_idx(payload, name=name)
    if array.shape != file.shape:
        raise DataError(f"{name} has shape {array.shape}; expected {file.shape}, {file.stem} of {collection.title}.")
    raise DataError(
        f"{name} is not {file.stem} of {collection.title}, though it has its shape: the SHA-256 of its decompressed content is"
        f" {digest}, expected {file.sha256}. Fetch it again."
    )
