import json
import os
import pickle
import unicodedata
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

import transferkit as tk
from transferkit import files
from transferkit.data import decoding, folders
from transferkit.data.decoding import Decoding, decode_image
from transferkit.errors import DataError, InvalidInputError, StorageError, TransferKitWarning

COUNTS = {"cat": 12, "dog": 10}


def noise(seed, size=(20, 16), mode="RGB"):
    """Return a random image of (width, height)."""
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def fill(root, counts=None, *, offset=0):
    """Write numbered PNG files, all different, into one subfolder per class."""
    for number, (name, count) in enumerate((counts or COUNTS).items()):
        (root / name).mkdir(parents=True)
        for index in range(count):
            noise(offset + 1000 * number + index).save(root / name / f"{index:03}.png")
    return root


@pytest.fixture
def animals(tmp_path):
    return fill(tmp_path / "animals")


def load(root, **options):
    return tk.load_image_folder(root, **{"image_size": 8, **options})


def store_folders():
    return [path for path in (files.cache_home() / "folders").iterdir() if path.is_dir()]


def contents(split):
    return {image.tobytes() for image in split.images}


# What comes out


def test_splits_are_slices_of_one_read_only_memory_map(animals):
    dataset = load(animals)
    assert repr(dataset) == "Dataset('animals', 2 classes, 8x8x3, train 16, validation 3, test 3)"
    assert dataset.class_names == ("cat", "dog")
    for images, labels in dataset:
        assert isinstance(images, np.memmap)
        assert not images.flags.writeable
        assert not labels.flags.writeable
        assert labels.dtype == np.int64
    assert dataset.train.images.base is dataset.test.images.base is not None
    assert len(contents(dataset.train) | contents(dataset.validation) | contents(dataset.test)) == 22


def test_images_and_labels_belong_together(animals):
    dataset = load(animals, image_size=(16, 20))
    for split in dataset:
        for image, label in zip(split.images, split.labels, strict=True):
            folder = animals / dataset.class_names[label]
            assert any(np.array_equal(np.asarray(Image.open(file)), image) for file in folder.iterdir())


def test_second_load_decodes_nothing(animals, monkeypatch):
    first = load(animals)
    monkeypatch.setattr("transferkit.data.folders.decode_all", lambda *_: pytest.fail("decoded again"))
    assert load(animals).fingerprint == first.fingerprint


def test_changed_files_and_options_are_noticed(animals):
    first = load(animals)
    noise(77).save(animals / "cat" / "000.png")
    assert load(animals).fingerprint != first.fingerprint
    (animals / "cat" / "001.png").unlink()
    assert sum(len(split.labels) for split in load(animals)) == 21
    assert load(animals, image_size=6).image_shape == (6, 6, 3)
    assert load(animals, color_mode="grayscale").image_shape == (8, 8, 1)


def test_seed_decides_the_splits(animals):
    first, same, other = load(animals, split_seed=1), load(animals, split_seed=1), load(animals, split_seed=2)
    assert contents(first.test) == contents(same.test)
    assert contents(first.test) != contents(other.test)
    assert other.split_seed == 2


def test_seeds_of_repeated_runs_share_their_test_split(animals):
    budgets = [load(animals, seed=seed, labels_per_class=2) for seed in (0, 1)]
    assert budgets[0].fingerprints["test"] == budgets[1].fingerprints["test"]
    assert contents(budgets[0].train) != contents(budgets[1].train)


def test_counts_zero_validation_and_label_budget(animals):
    dataset = load(animals, validation=0, test=6, labels_per_class=3, name="pets")
    assert [len(split.labels) for split in dataset] == [6, 0, 6]
    assert dataset.name == "pets"
    assert dataset.labels_per_class == 3
    assert contents(load(animals, validation=0, test=6, labels_per_class=2).train) < contents(dataset.train)


@pytest.mark.parametrize("damage", ["index.json", "images.npy"])
@pytest.mark.parametrize("how", ["cut", "delete"])
def test_damaged_store_is_rebuilt(animals, damage, how):
    before = load(animals).fingerprint
    file = store_folders()[0] / damage
    if how == "cut":
        file.write_bytes(file.read_bytes()[:-10])
    else:
        file.unlink()
    assert load(animals).fingerprint == before


def test_interrupted_decoding_leaves_nothing_behind(animals, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("transferkit.data.folders.decode_all", interrupt)
        with pytest.raises(KeyboardInterrupt):
            load(animals)
    assert store_folders() == []
    assert len(load(animals).train.labels) == 16


def test_what_a_killed_process_left_is_removed(animals):
    load(animals)
    store = store_folders()[0]
    left = store.with_name(f".{store.name}.abc.tmp")
    left.mkdir()
    (store / "index.json").unlink()
    load(animals)
    assert not left.exists()


def test_concurrent_loads_decode_once(animals, monkeypatch):
    calls = []
    decode_all = folders.decode_all
    monkeypatch.setattr(folders, "decode_all", lambda *inputs: (calls.append(1), decode_all(*inputs))[1])
    with ThreadPoolExecutor(4) as pool:
        prints = {dataset.fingerprint for dataset in pool.map(lambda _: load(animals), range(4))}
    assert len(prints) == len(calls) == 1


# Files of every kind


def test_every_format_and_nested_unicode_names_are_read(tmp_path):
    root = tmp_path / "my images"
    for name in ("고양이", "dög & cat"):
        (root / name / "sub folder").mkdir(parents=True)
        for index, suffix in enumerate((".jpg", ".JPEG", ".png", ".bmp", ".gif", ".webp")):
            noise(index + len(name)).save(root / name / "sub folder" / f"bild ü {index}{suffix}")
    dataset = load(root, test=2, validation=2)
    assert dataset.class_names == ("dög & cat", "고양이")
    assert sum(len(split.labels) for split in dataset) == 12


def test_hidden_files_and_other_kinds_are_left_out_and_counted(animals):
    for name in ("cat/.DS_Store", "cat/._000.png", "cat/notes.txt", "labels.csv"):
        (animals / name).write_bytes(b"x")
    (animals / ".git").mkdir()
    (animals / "__MACOSX" / "cat").mkdir(parents=True)
    dataset = load(animals)
    assert dataset.class_names == ("cat", "dog")
    assert "22 images, 0 skipped, 2 other files" in dataset.source


def test_images_that_would_be_lost_silently_are_warned_of(animals):
    (animals / "cat" / "drawing.svg").write_bytes(b"x")
    noise(5).save(animals / "loose.png")
    lost = r"left out 1 image file in no class.*loose\.png.*\n.*1 file of a format.*drawing\.svg.*PNG or JPEG"
    with pytest.warns(TransferKitWarning, match=lost) as caught:
        load(animals)
    assert [(warning.filename, load(animals).name) for warning in caught] == [(__file__, "animals")]


def decoded(image, path, **options):
    image.save(path, **options)
    return decode_image(path, Decoding(4, 4, "rgb", "stretch", 10**6)).array


@pytest.mark.parametrize("options", [{}, {"fit": "crop"}, {"fit": "pad", "color_mode": "grayscale"}])
def test_one_image_is_decoded_as_its_folder_is(animals, options):
    data = load(animals, **options)
    loaded = {tk.load_image(file, image_size=8, **options).tobytes() for file in animals.rglob("*.png")}
    assert loaded == contents(data.train) | contents(data.validation) | contents(data.test)


def test_image_that_cannot_be_loaded_is_named(tmp_path):
    (tmp_path / "note.png").write_text("no image")
    for name in ("note.png", "missing.png"):
        with pytest.raises(DataError, match=f"{name} cannot be read"):
            tk.load_image(tmp_path / name, image_size=8)
    with pytest.raises(InvalidInputError, match="image_size"):
        tk.load_image(tmp_path / "note.png", image_size=0)


def test_transparency_becomes_white(tmp_path):
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    half = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([0, 0, 255])
    assert (decoded(clear, tmp_path / "a.png") == 255).all()
    assert (decoded(clear, tmp_path / "a.webp", lossless=True) == 255).all()
    assert decoded(half, tmp_path / "b.png")[0, 0].tolist() == [255, 127, 127]
    assert (decoded(Image.new("LA", (4, 4), (0, 0)), tmp_path / "c.png") == 255).all()
    assert (decoded(palette, tmp_path / "d.png", transparency=0) == 255).all()
    assert (decoded(palette, tmp_path / "e.gif", transparency=0) == 255).all()
    assert decoded(palette, tmp_path / "f.png")[0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_exif_orientation_is_respected(tmp_path, suffix):
    image = Image.new("RGB", (8, 4), "black")
    image.paste("white", (4, 0, 8, 4))  # the right half
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise: the right half becomes the lower one
    array = decoded(image, tmp_path / f"x{suffix}", exif=exif)
    assert array[0].mean() < 60
    assert array[3].mean() > 195


def test_first_frame_of_an_animation_counts(tmp_path):
    red, blue = (Image.new("RGB", (4, 4), color) for color in ("red", "blue"))
    array = decoded(red, tmp_path / "x.gif", save_all=True, append_images=[blue])
    assert array[0, 0].tolist() == [255, 0, 0]


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    image = Image.fromarray(np.full((4, 4), 128 * 256, np.uint16))
    assert decoded(image, tmp_path / "x.png")[0, 0].tolist() == [128, 128, 128]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr"])
def test_other_colour_modes_are_read(tmp_path, mode):
    suffix = ".jpg" if mode in ("CMYK", "YCbCr") else ".png"
    array = decoded(Image.new("RGB", (9, 9), "white").convert(mode), tmp_path / f"x{suffix}")
    assert array.shape == (4, 4, 3)
    assert array.min() > 250


def test_shrinking_is_antialiased(tmp_path):
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    array = decoded(Image.fromarray(board.astype(np.uint8)), tmp_path / "x.png")
    assert np.abs(array.astype(int) - 127).max() < 10


def test_fit_stretches_crops_or_pads(tmp_path):
    image = Image.new("RGB", (12, 4), "red")
    image.paste("blue", (4, 0, 8, 4))
    image.save(tmp_path / "x.png")
    stretch, crop, pad = (
        decode_image(tmp_path / "x.png", Decoding(4, 4, "rgb", fit, 10**6)).array for fit in ("stretch", "crop", "pad")
    )
    assert stretch[0, 0, 0] > 150
    assert (crop == [0, 0, 255]).all()
    assert (pad[0] == 255).all()
    assert (pad[-1] == 255).all()


def test_jpeg_draft_mode_keeps_the_picture(tmp_path):
    gradient = np.linspace(0, 255, 640).astype(np.uint8)
    Image.fromarray(np.tile(gradient, (480, 1))).save(tmp_path / "x.jpg", quality=95)
    array = decode_image(tmp_path / "x.jpg", Decoding(16, 16, "grayscale", "stretch", 10**6)).array[..., 0]
    expected = np.asarray(Image.open(tmp_path / "x.jpg").resize((16, 16), Image.Resampling.BILINEAR))
    assert np.abs(array.astype(int) - expected).max() <= 3


# Files that cannot be read

BROKEN = {
    "empty.png": b"",
    "text.jpg": b"hello",
    "page.png": b"<!DOCTYPE html><html></html>",
    "pointer.png": b"version https://git-lfs.github.com/spec/v1\n",
    "magic.png": b"\x89PNG\r\n\x1a\n",
    "magic.gif": b"GIF89a",
    "magic.bmp": b"BM" + bytes(20),
}


@pytest.fixture
def broken(animals):
    for name, content in BROKEN.items():
        (animals / "cat" / name).write_bytes(content)
    whole = (animals / "cat" / "000.png").read_bytes()
    (animals / "cat" / "half.png").write_bytes(whole[: len(whole) // 2])
    noise(3, (200, 200)).save(animals / "cat" / "half.jpg")
    whole = (animals / "cat" / "half.jpg").read_bytes()
    (animals / "cat" / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (animals / "dog" / "broken link.png").symlink_to("nowhere.png")
    return animals


def test_all_unreadable_files_are_named_in_one_error(broken):
    with pytest.raises(DataError) as error:
        load(broken)
    message = str(error.value)
    assert "10 of 32 image files cannot be read" in message
    for name in (*BROKEN, "half.png", "half.jpg", "broken link.png"):
        assert name in message
    for reason in ("an empty file", "a web page", "Git LFS pointer", "not an image of a known format"):
        assert reason in message
    assert "on_error='skip'" in message
    assert store_folders() == []


def test_unreadable_files_are_skipped_with_one_warning(broken, tmp_path):
    with pytest.warns(TransferKitWarning, match="skipped 10 of 32 image files") as caught:
        dataset = load(broken, on_error="skip")
    assert "half.jpg" in str(caught[0].message)
    assert "22 images, 10 skipped" in load(broken, on_error="skip").source  # says nothing new, so it warns no more
    with pytest.raises(DataError, match="10 of 32"):
        load(broken)
    for name in (*BROKEN, "half.png", "half.jpg"):
        (broken / "cat" / name).unlink()
    (broken / "dog" / "broken link.png").unlink()
    assert load(broken).fingerprint == dataset.fingerprint


def test_huge_images_are_refused_before_they_are_decompressed(animals):
    bomb = bytearray((animals / "cat" / "000.png").read_bytes())
    bomb[16:24] = (20_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    (animals / "cat" / "bomb.png").write_bytes(bomb)
    Image.new("1", (400, 400)).save(animals / "dog" / "large.png")
    with pytest.raises(DataError) as error:
        load(animals, max_pixels=100_000)
    assert "bomb.png: it has more pixels than Pillow allows" in str(error.value)
    assert "large.png: 400x400 pixels are more than max_pixels=100,000" in str(error.value)
    with pytest.warns(TransferKitWarning, match=r"skipped 1 of 24.*bomb\.png"):
        load(animals, on_error="skip")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root ignores permissions")
def test_file_without_permission_is_named(animals):
    (animals / "cat" / "000.png").chmod(0)
    with pytest.raises(DataError, match=r"000\.png: PermissionError"):
        load(animals)


def test_class_that_loses_all_its_images_is_an_error(tmp_path):
    root = fill(tmp_path / "x", {"cat": 20, "dog": 6})
    for file in (root / "dog").iterdir():
        file.write_bytes(b"broken")
    with pytest.raises(DataError, match="no training image is left for class 'dog'"):
        load(root, on_error="skip")


# Folders of other forms


def make_split_folders(root, names=("train", "val", "test")):
    for number, (name, count) in enumerate(zip(names, (10, 4, 5), strict=True)):
        fill(root / name, {"cat": count, "dog": count}, offset=100_000 * number)
    return root


def test_split_folders_are_taken_as_they_are(tmp_path):
    dataset = load(make_split_folders(tmp_path / "x"), test=0.5)
    assert [len(split.labels) for split in dataset] == [20, 8, 10]
    assert dataset.class_names == ("cat", "dog")


def test_missing_split_folders_are_held_out_of_training(tmp_path):
    root = make_split_folders(tmp_path / "x", ("Train", "validation", "test"))
    for file in (root / "validation").rglob("*.png"):
        file.unlink()
    for folder in (*(root / "validation").iterdir(), root / "validation"):
        folder.rmdir()
    assert [len(split.labels) for split in load(root, validation=4)] == [16, 4, 10]


def test_class_that_is_in_the_test_folder_only_is_refused(tmp_path):
    root = make_split_folders(tmp_path / "x")
    fill(root / "test" / "more", {"bird": 1})
    (root / "test" / "more" / "bird").rename(root / "test" / "bird")
    (root / "test" / "more").rmdir()
    with pytest.raises(DataError, match="class 'bird' is in test only"):
        load(root)


def test_class_missing_in_the_test_folder_is_a_warning(tmp_path):
    root = make_split_folders(tmp_path / "x")
    for file in (root / "test" / "dog").iterdir():
        file.unlink()
    with pytest.warns(TransferKitWarning, match="test split has no image of class 'dog'"):
        load(root)


def test_equal_images_in_two_split_folders_are_refused(tmp_path):
    root = make_split_folders(tmp_path / "x")
    noise(0).save(root / "test" / "cat" / "copy.bmp")  # equal pixels in another format
    with pytest.raises(
        DataError, match=r"1 of 11 test images are also train images \(test/cat/copy\.bmp = train/cat/000\.png\)"
    ):
        load(root)
    assert len(load(root, allow_overlap=True).test.labels) == 11


def test_two_folders_for_one_split_are_refused(tmp_path):
    root = make_split_folders(tmp_path / "x")
    (root / "valid").mkdir()
    with pytest.raises(DataError, match=r"two folders for one split: .*val, valid"):
        load(root)


def test_duplicates_stay_in_one_split(tmp_path):
    root = fill(tmp_path / "x", {"cat": 20, "dog": 20})
    for file in list(root.rglob("*.png")):
        Image.open(file).save(file.with_suffix(".bmp"))
    with pytest.warns(TransferKitWarning, match=r"8 of 8 test images equal another.*4 different"):
        dataset = load(root, validation=8, test=8)
    assert [len(split.labels) for split in dataset] == [64, 8, 8]
    assert np.array_equal(np.bincount(dataset.test.clusters()), [2, 2, 2, 2])
    assert dataset.describe()["test_clusters"] == dataset.test.clusters().tolist()
    parts = [contents(split) for split in dataset]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]


def test_image_in_two_classes_is_named_and_only_trained_on(animals):
    noise(0).save(animals / "dog" / "liar.png")
    with pytest.warns(TransferKitWarning, match=r"1 image lies in more than one class.*cat/000\.png = dog/liar\.png"):
        dataset = load(animals)
    twice = np.asarray(noise(0).resize((8, 8), Image.Resampling.BILINEAR)).tobytes()
    assert twice in contents(dataset.train)
    assert twice not in contents(dataset.test) | contents(dataset.validation)


@pytest.mark.parametrize(
    ("counts", "options", "message"),
    [
        ({"cat": 5}, {}, "one class only"),
        ({"cat": 5, "dog": 0}, {}, "no images of class 'dog'"),
        ({"cat": 1, "dog": 1}, {}, "makes no test image"),
        ({"cat": 3, "dog": 2}, {"test": 2, "validation": 2}, "too few images: 5 in 2 classes"),
        ({"cat": 10, "dog": 10}, {"test": 0}, "makes no test image"),
        ({"cat": 10, "dog": 10}, {"validation": 0.01}, "makes no validation image"),
    ],
)
def test_too_few_images_are_explained(tmp_path, counts, options, message):
    with pytest.raises(DataError, match=message):
        load(fill(tmp_path / "x", counts), **options)


def test_folders_without_classes_are_explained(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        load(tmp_path / "absent")
    (tmp_path / "x").mkdir()
    with pytest.raises(DataError, match="has no classes: it has no subfolders"):
        load(tmp_path / "x")
    noise(0).save(tmp_path / "x" / "a.png")
    with pytest.raises(DataError, match="1 image directly in it"):
        load(tmp_path / "x")
    with pytest.raises(DataError, match="is a file"):
        load(tmp_path / "x" / "a.png")


@pytest.mark.parametrize(
    "options",
    [
        {"image_size": 0}, {"image_size": (8, 8, 3)}, {"image_size": 8.5}, {"image_size": True}, {"color_mode": "bgr"},
        {"fit": "squash"}, {"on_error": "ignore"}, {"max_pixels": 0}, {"seed": -1}, {"validation": 1.5}, {"test": -1},
        {"labels_per_class": 0},
    ],
)  # fmt: skip
def test_wrong_options_are_refused(animals, options):
    with pytest.raises(InvalidInputError):
        load(animals, **options)


def test_numpy_numbers_are_options_too(animals):
    dataset = load(animals, image_size=np.int64(8), validation=np.int64(3), test=np.float32(0.2), seed=np.int32(1))
    assert json.dumps(dataset.describe())


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX")
def test_file_name_that_is_not_utf8_is_read(animals):
    raw = os.fsencode(animals / "cat") + b"/caf\xe9.png"
    with open(raw, "wb") as stream:  # noqa: PTH123 - bytes
        noise(9).save(stream, "PNG")
    assert sum(len(split.labels) for split in load(animals)) == 23


def test_full_disk_is_said_before_anything_is_decoded(animals, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(DataError, match=r"0\.0 GB are free there.*TRANSFERKIT_HOME"):
        load(animals)


def test_unwritable_cache_is_an_error_with_a_cure(animals, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("TRANSFERKIT_HOME", str(tmp_path / "file"))
    with pytest.raises(StorageError, match=r"the decoded images .* cannot be kept: .*Set TRANSFERKIT_HOME"):
        load(animals)


# What belongs together


def students(root, *, count=12, each=6):
    """Write photos of hands: each student shows two signs, several times."""
    for student in range(count):
        for number in range(each):
            sign = ("fist", "palm")[number % 2]
            (root / sign).mkdir(parents=True, exist_ok=True)
            noise(100 * student + number).save(root / sign / f"student{student}-{number}.png")
    return root


def who(path):
    return path.rpartition("/")[2].partition("-")[0]


@pytest.mark.parametrize("form", ["function", "dict", "Series"])
def test_photos_of_one_group_come_into_one_split(tmp_path, form):
    root = students(tmp_path / "hands")
    paths = [file.relative_to(root).as_posix() for file in root.rglob("*.png")]
    table = {path: who(path) for path in paths}
    groups = {"function": who, "dict": table, "Series": pd.Series(table)}[form]
    data = load(root, groups=groups, validation=0.25, test=0.25)
    people = [{who(path) for path in split.paths} for split in data]
    assert not people[0] & people[1]
    assert not people[0] & people[2]
    assert not people[1] & people[2]
    assert [len(split.labels) for split in data] == [36, 18, 18]
    assert all(np.array_equal(np.bincount(split.labels), [len(split.labels) // 2] * 2) for split in data)
    assert len(np.unique(data.test.clusters())) == len(people[2])
    assert data.describe()["test_clusters"] == data.test.clusters().tolist()
    ungrouped = load(root, validation=0.25, test=0.25)  # not the one in the cache
    assert {who(path) for path in ungrouped.train.paths} & {who(path) for path in ungrouped.test.paths}
    assert "test_clusters" not in ungrouped.describe()


def test_equal_images_join_groups(tmp_path):
    root = students(tmp_path / "hands")
    (root / "fist" / "student1-0.png").write_bytes((root / "fist" / "student0-0.png").read_bytes())
    for seed in range(5):
        data = load(root, groups=who, split_seed=seed, validation=0.25, test=0.25, allow_overlap=True)
        places = [{who(path) for path in split.paths} for split in data]
        assert sum("student0" in people or "student1" in people for people in places) == 1


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"fist/student0-0.png": 1}, "groups has no entry for 71 images: .*student0-2"),
        (lambda path: None if "student3" in path else path, r"groups: image \d+ has none"),
        ("student", "must be a function of an image's path, or a mapping"),
    ],
)
def test_groups_that_make_no_sense_are_refused(tmp_path, groups, message):
    with pytest.raises(InvalidInputError, match=message):
        load(students(tmp_path / "hands"), groups=groups)


def test_one_group_for_all_is_refused(tmp_path):
    with pytest.raises(DataError, match="all 72 images belong to one group"):
        load(students(tmp_path / "hands"), groups=lambda path: "me")


def test_group_in_two_split_folders_is_refused(tmp_path):
    root = make_split_folders(tmp_path / "x")
    with pytest.raises(DataError, match=r"test images belong to the groups of train images \(test/cat/000"):
        load(root, groups=lambda path: path.rpartition("/")[2])


def test_every_image_knows_its_file(animals):
    data = load(animals, labels_per_class=4)
    for split in data:
        for image, label, path in zip(*split, split.paths, strict=True):
            assert path.startswith(f"{data.class_names[label]}/")
            assert np.array_equal(tk.load_image(animals / path, image_size=8), image)
    facts = data.describe()
    assert facts["test_files"] == list(data.test.paths)
    assert "train_files" not in facts
    assert facts["decoding"]["fit"] == "stretch"


def test_split_survives_pickling(animals):
    split = load(animals, groups=lambda path: path).test
    again = pickle.loads(pickle.dumps(split))
    assert again.paths == split.paths
    assert np.array_equal(again.groups, split.groups)
    assert np.array_equal(again.images, split.images)


def test_dataset_prints_its_classes(animals):
    data = load(animals)
    first, *_, cat, dog = str(data).splitlines()
    assert first == repr(data)
    assert [cat.split()[0], dog.split()[0]] == ["cat", "dog"]
    shown = np.array([cat.split()[1:], dog.split()[1:]], dtype=int)
    assert shown.sum(axis=0).tolist() == [16, 3, 3]
    assert shown.sum(axis=1).tolist() == [12, 10]
    assert "<td>" in data._repr_html_()
    assert repr(data.train) == "Split(16 images, 8x8x3)"


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(counts=st.lists(st.integers(3, 12), min_size=2, max_size=6), seed=st.integers(0, 100))
def test_small_classes_are_in_every_split(tmp_path_factory, counts, seed):
    root = fill(tmp_path_factory.mktemp("small") / "x", {f"c{number}": count for number, count in enumerate(counts)})
    data = load(
        root, split_seed=seed, validation=max(len(counts), sum(counts) // 6), test=max(len(counts), sum(counts) // 6)
    )
    assert (data.class_counts() > 0).all(axis=None)


def test_a_drive_that_had_a_fault_is_read_again(animals, monkeypatch):
    real = decoding.open_file

    def faulty(path):
        if path.name == "003.png":
            raise OSError(5, "Input/output error")
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(decoding, "open_file", faulty)
        with pytest.warns(TransferKitWarning, match="skipped"):
            lacking = load(animals, on_error="skip")
    whole = load(animals, on_error="skip")
    assert sum(len(split.labels) for split in whole) == sum(len(split.labels) for split in lacking) + 2 == 22


@pytest.mark.parametrize("extra", [(), ("cat/cover.png",), ("dog/val/0.png",), ("dog/notes/0.png",)], ids=str)
def test_splits_inside_of_classes_are_never_put_together(tmp_path, extra):
    for kind in ("cat", "dog"):
        fill(tmp_path / "pets" / kind, {"train": 5, "test": 3}, offset=100 * (kind == "dog"))
    for number, name in enumerate(extra):
        (tmp_path / "pets" / name).parent.mkdir(exist_ok=True)
        noise(900 + number).save(tmp_path / "pets" / name)
    with pytest.raises(DataError, match=r"folders named like splits .* split_folders=False"):
        load(tmp_path / "pets")
    together = load(tmp_path / "pets", split_folders=False)
    assert together.class_names == ("cat", "dog")


def test_dark_pictures_of_eight_bits_are_not_said_to_have_sixteen(tmp_path):
    """Their decoder is told the bytes of a row, a number in which 16 occurs."""
    for kind in ("a", "b"):
        (tmp_path / kind).mkdir()
        for number in range(8):
            pixels = np.random.default_rng(number + 8 * (kind == "b")).integers(0, 40, (16, 160), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / kind / f"{number}.bmp")
    load(tmp_path)  # warnings are errors


def test_a_test_folder_of_which_nothing_can_be_read_is_no_empty_split(tmp_path):
    fill(tmp_path / "pets" / "train")
    (tmp_path / "pets" / "test" / "cat").mkdir(parents=True)
    (tmp_path / "pets" / "test" / "cat" / "0.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of the test images can be read"):
        load(tmp_path / "pets", on_error="skip")


def test_sizes_of_splits_that_have_folders_of_their_own_do_not_matter(tmp_path):
    for split, counts in (("train", {"cat": 6, "dog": 6}), ("test", {"cat": 2, "dog": 2})):
        fill(tmp_path / "pets" / split, counts, offset=5000 * (split == "test"))
    assert len(load(tmp_path / "pets", test=100).test.labels) == 4


def test_groups_are_found_by_names_that_are_written_in_another_form(tmp_path):
    names = [unicodedata.normalize("NFD", f"사진{number}.png") for number in range(8)]
    for kind in ("cat", "dog"):
        (tmp_path / kind).mkdir()
        for number, name in enumerate(names):
            noise(number + 10 * (kind == "dog")).save(tmp_path / kind / name)
    groups = {
        unicodedata.normalize("NFC", f"{kind}/{name}"): f"{kind}{number // 2}"
        for kind in ("cat", "dog")
        for number, name in enumerate(names)
    }
    data = load(tmp_path, groups=groups)
    assert not set(data.train.groups) & set(data.test.groups)


@given(st.integers(3, 6), st.integers(2, 8), st.integers(0, 99))
def test_splits_by_groups_have_every_class_that_has_the_groups(persons, photographs, seed):
    """Each person belongs to one class, as patients do."""
    groups = np.repeat(np.arange(2 * persons), photographs)
    labels = np.int64(groups >= persons)
    images = np.random.default_rng(0).integers(0, 256, (len(groups), 2, 2, 1), dtype=np.uint8)
    data = tk.Dataset.from_arrays(
        (images, labels), (255 - images[[0, -1]], labels[[0, -1]]), validation=0.15, groups=groups, seed=seed
    )
    assert set(data.train.labels) == {0, 1}
    if len(data.validation.labels) >= 2:
        assert set(data.validation.labels) == {0, 1}


def test_a_class_that_is_only_tested_is_told_from_one_without_images(tmp_path):
    noise(0).save(tmp_path / "0.png")
    rows = [("0.png", "dog", "test"), *((f"{number}.png", "cat", "train") for number in range(1, 9))]
    for name, *_ in rows[1:]:
        noise(int(name[0])).save(tmp_path / name)
    table = pd.DataFrame(rows, columns=["file", "kind", "part"])
    with pytest.raises(DataError, match="class 'dog' has test images only; a model cannot learn it"):
        tk.load_image_table(table, path="file", label="kind", split="part", root=tmp_path, image_size=8)


def test_truncated_files_are_read_where_pillow_is_told_to(animals, monkeypatch):
    file = animals / "cat" / "long.jpg"
    noise(77, size=(64, 64)).save(file, quality=95)
    file.write_bytes(file.read_bytes()[:-400])
    with pytest.warns(TransferKitWarning, match="skipped 1 of"):
        lacking = load(animals, on_error="skip")
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    whole = load(animals, on_error="skip")
    assert sum(len(split.labels) for split in whole) == sum(len(split.labels) for split in lacking) + 1


def test_groups_by_the_exact_name_come_first(tmp_path):
    """Two files whose names look alike are two files."""
    names = [unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD")] + [f"{number}.png" for number in range(8)]
    for kind in ("cat", "dog"):
        (tmp_path / kind).mkdir()
        for number, name in enumerate(names):
            noise(number + 10 * (kind == "dog")).save(tmp_path / kind / name)
    paths = [f"{kind}/{name}" for kind in ("cat", "dog") for name in names]
    data = load(tmp_path, groups={path: path for path in paths})
    assert len({group for split in data for group in split.groups.tolist()}) == 20
