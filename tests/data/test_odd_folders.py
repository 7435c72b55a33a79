"""Files and folders as cameras, systems and people leave them: read, left out with a word, or refused by name."""

import contextlib
import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import transferkit as tk
from transferkit.data.decoding import Decoding, decode_image, strip_metadata
from transferkit.data.listing import list_images, split_of
from transferkit.errors import DataError, TransferKitWarning

PIXELS = np.kron(np.array([[0, 80], [160, 255]], np.uint8), np.ones((8, 8), np.uint8))  # four grey squares


def picture(mode="L"):
    return Image.fromarray(PIXELS).convert(mode)


def write(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def encoded(form, mode="RGB", **options):
    stream = io.BytesIO()
    picture(mode).save(stream, form, **options)
    return stream.getvalue()


def chunk(kind, payload):
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png_with(*chunks):
    whole = encoded("PNG")
    return whole[:33] + b"".join(chunks) + whole[33:]


def jpeg_with(segment, marker=0xE1):
    whole = encoded("JPEG", quality=95)
    return whole[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(segment) + 2) + segment + whole[2:]


def divided_by_zero():
    tiff = b"II*\0" + struct.pack("<IH", 8, 2) + struct.pack("<HHII", 0x0112, 3, 1, 1)
    return b"Exif\0\0" + tiff + struct.pack("<HHII", 0x011A, 10, 1, 38) + struct.pack("<Iii", 0, -1, 0)


def deep(form, bits):
    """Return a grey file with 16 bits a pixel, of which the values take only some."""
    stream = io.BytesIO()
    Image.fromarray(PIXELS.astype(np.uint16) << (bits - 8)).save(stream, form)
    return stream.getvalue()


def packed_tiff():
    """Return a TIFF file with 12 bits a pixel, two of them in three bytes."""
    content = bytearray(deep("TIFF", 12))
    content = content.replace(struct.pack("<HHIHH", 258, 3, 1, 16, 0), struct.pack("<HHIHH", 258, 3, 1, 12, 0))
    first, second = (PIXELS.astype(int) << 4).reshape(-1, 2).T
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1).astype(np.uint8).tobytes()
    content[-2 * PIXELS.size : -2 * PIXELS.size + len(packed)] = packed
    return bytes(content)


BOMB_TEXT = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80_000_000)))
WIDE_PROFILE = chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(80_000_000)))

# file name, content: all show the same four squares
READ = {
    "tiff": ("scan.tiff", encoded("TIFF")),
    "tiff, compressed": ("scan.TIF", encoded("TIFF", compression="tiff_lzw")),
    "portable pixmap": ("a.ppm", encoded("PPM")),
    "portable greymap": ("a.pgm", encoded("PPM", "L")),
    "targa": ("a.tga", encoded("TGA")),
    "avif": ("a.avif", encoded("AVIF", quality=100)),
    "jpeg 2000": ("a.jp2", encoded("JPEG2000")),
    "webp": ("a.webp", encoded("WEBP", lossless=True)),
    "gif": ("a.gif", encoded("GIF", "L")),
    "bitmap": ("a.bmp", encoded("BMP")),
    "icon": ("a.ico", encoded("ICO", sizes=[(16, 16)])),
    "mac icon": ("a.qoi", encoded("QOI")),
    "pcx": ("a.pcx", encoded("PCX")),
    "silicon graphics": ("a.sgi", encoded("SGI")),
    "several pictures": ("a.mpo", encoded("MPO", save_all=True, append_images=[Image.new("RGB", (16, 16))])),
    "png named jpg": ("a.jpg", encoded("PNG")),
    "tiff named png": ("b.png", encoded("TIFF")),
    "no suffix": ("IMG_0001", encoded("PNG")),
    "wrong suffix": ("photo.dat", encoded("JPEG", quality=95)),
    "suffix of a download": ("photo.jpg_large", encoded("JPEG", quality=95)),
    "upper case": ("A.JPEG", encoded("JPEG", quality=95)),
    "exif divides by zero": ("e.jpg", jpeg_with(divided_by_zero())),
    "exif is cut": ("e2.jpg", jpeg_with(divided_by_zero()[:20])),
    "exif is noise": ("e3.jpg", jpeg_with(b"Exif\0\0" + bytes(range(200)))),
    "photoshop segment is noise": ("e4.jpg", jpeg_with(b"Photoshop 3.0\0" + b"8BIM\xff\xff" * 9, 0xED)),
    "profile is noise": ("e5.jpg", jpeg_with(b"ICC_PROFILE\0\x01\x09" + b"x" * 50, 0xE2)),
    "large text": ("t.png", png_with(BOMB_TEXT)),
    "large profile": ("p.png", png_with(WIDE_PROFILE)),
    "text with a wrong checksum": ("c.png", png_with(chunk(b"tEXt", b"Title\0me")[:-1] + b"?")),
    "exif of a png is noise": ("x.png", png_with(chunk(b"eXIf", b"II*\0\xff\xff"))),
    "16 bits": ("deep.png", deep("PNG", 16)),
    "12 bits": ("deep.tif", packed_tiff()),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Truncated File Read", "ignore:Corrupt EXIF data")
@pytest.mark.parametrize("what", READ)
def test_good_pixels_are_read(what, tmp_path):
    name, content = READ[what]
    file = tmp_path / "zoo" / "cat" / name
    write(file, content)
    write(tmp_path / "zoo" / "dog" / "a.png", encoded("PNG"))
    image = tk.load_image(file, image_size=16, color_mode="grayscale")
    assert np.abs(image[..., 0].astype(int) - PIXELS).max() <= 8
    listing = list_images(tmp_path / "zoo")
    assert [listed.path for listed in listing.images] == [f"cat/{name}", "dog/a.png"]
    assert not listing.remarks


# file name, content: none of these is a picture that could be used
LEFT_OUT = {
    "notes": ("notes.txt", b"BM is what bitmaps begin with", None),
    "labels": ("labels.csv", b"file,label\n", None),
    "film": ("clip.mp4", b"\0\0\0\x18ftypmp42" + bytes(40), None),
    "empty": ("thing", b"", None),
    "apple's index": (".DS_Store", encoded("PNG"), None),
    "apple's double": ("._a.jpg", encoded("PNG"), None),
    "windows's thumbnails": ("Thumbs.db", encoded("JPEG"), None),
    "windows's folder": ("desktop.ini", b"[.ShellClassInfo]", None),
    "synology's thumbnails": ("@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", encoded("JPEG"), None),
    "synology's bin": ("#recycle/old.jpg", encoded("JPEG"), None),
    "gnome's thumbnails": (".thumbnails/large/a.png", encoded("PNG"), None),
    "windows's bin": ("$RECYCLE.BIN/S-1-5/a.jpg", encoded("JPEG"), None),
    "a notebook's copies": (".ipynb_checkpoints/a-checkpoint.jpg", encoded("JPEG"), None),
    "a drawing": ("logo.svg", b"<svg/>", "left out 1 file of a format that Pillow does not read: cat/logo.svg"),
    "a raw photograph": ("DSC_1.NEF", encoded("TIFF"), "left out 1 file of a format that Pillow does not read: cat/DSC_1.NEF"),
}  # fmt: skip


@pytest.mark.parametrize("what", LEFT_OUT)
def test_what_is_no_image_is_left_out_and_counted(what, tmp_path):
    name, content, remark = LEFT_OUT[what]
    for kind in ("cat", "dog"):
        write(tmp_path / kind / "a.png", encoded("PNG"))
    write(tmp_path / "cat" / name, content)
    listing = list_images(tmp_path)
    assert [image.path for image in listing.images] == ["cat/a.png", "dog/a.png"]
    assert listing.num_ignored + listing.num_hidden == 1
    assert len(listing.remarks) == (remark is not None)
    assert (remark or "") in "".join(listing.remarks)


def grow(root, names):
    """Write a different image for each path that ends in a slash or names a class folder."""
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        file = root / name / f"{number}.png" if name.endswith("/") else root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    return root


def layout(*folders, classes=("cat", "dog")):
    return [f"{folder}/{kind}/" for folder in folders for kind in classes]


# paths, classes (or the error), how many images are in train, validation, test and in no split yet, a remark
LAYOUTS = {
    "classes": (["cat/", "dog/"], "cat dog", (0, 0, 0, 2), None),
    "usual": (layout("train", "val", "test"), "cat dog", (2, 2, 2, 0), None),
    "upper case": (layout("TRAIN", "Valid", "Testing"), "cat dog", (2, 2, 2, 0), None),
    "sets": (layout("training_set", "test_set"), "cat dog", (2, 0, 2, 0), None),
    "camel case": (layout("TrainSet", "DevSet", "TestSet"), "cat dog", (2, 2, 2, 0), None),
    "scenes": ([*layout("seg_train/seg_train", "seg_test/seg_test"), "seg_pred/seg_pred/"], "cat dog", (2, 0, 2, 0),
               "left out 1 image file in no class folder"),
    "unlabeled": ([*layout("train", "test"), "unlabeled/"], "cat dog", (2, 0, 2, 0), "left out 1 image file in no class folder"),
    "development": (layout("train", "dev"), "cat dog", (2, 2, 0, 0), None),
    "held out": (layout("train", "hold-out"), "cat dog", (2, 0, 2, 0), None),
    "prefix": (layout("my_train", "my_test"), "cat dog", (2, 0, 2, 0), None),
    "year": (layout("train2017", "val2017"), "cat dog", (2, 2, 0, 0), None),
    "numbered": (layout("1.Training", "2.Validation"), "cat dog", (2, 2, 0, 0), None),
    "korean": (layout("학습 데이터", "검증", "테스트셋"), "cat dog", (2, 2, 2, 0), None),
    "test without labels": ([*layout("train"), "test/"], "cat dog", (2, 0, 0, 0), "images in test lie in no class folder"),
    "annotations beside": ([*layout("train", "test"), "notes.d/"], None, "beside others with images (notes.d)", None),
    "splits among classes": (["train/", "test/", "cat/", "dog/"], None, "folders named like splits (test, train) beside", None),
    "a train among vehicles": (["car/", "plane/", "train/"], None, "If these are classes, pass split_folders=False", None),
    "no training": (layout("val", "test"), None, "none of them is for training", None),
    "evaluation": (layout("train", "eval"), None, "whether these images choose (validation) or measure", None),
    "twice": (layout("train", "val", "dev"), None, "two folders for one split", None),
    "flat splits": (["train/", "test/"], None, "has no classes: 1 image directly in it", None),
    "compound words": (["test_tube/", "train_station/"], "test_tube train_station", (0, 0, 0, 2), None),
    "one level too deep": (["photos/cat/", "photos/dog/"], "cat dog", (0, 0, 0, 2), "found deeper, in photos"),
    "two levels too deep": (["a/b/cat/", "a/b/dog/"], "cat dog", (0, 0, 0, 2), "found deeper, in a/b"),
    "splits one level too deep": (layout("zip/train", "zip/test"), "cat dog", (2, 0, 2, 0), "found deeper, in zip"),
    "one class": (["cat/"], None, "one class only", None),
    "subfolders of classes": (["cat/indoors/", "cat/outdoors/", "dog/"], "cat dog", (0, 0, 0, 3), None),
}  # fmt: skip


@pytest.mark.parametrize("what", LAYOUTS)
def test_layouts_are_understood_or_refused(what, tmp_path):
    names, classes, outcome, remark = LAYOUTS[what]
    root = grow(tmp_path / "x", names)
    if classes is None:
        with pytest.raises(DataError) as caught:
            list_images(root)
        assert outcome in str(caught.value)
        return
    listing = list_images(root)
    assert " ".join(listing.class_names) == classes
    found = [image.split for image in listing.images]
    assert tuple(found.count(split) for split in ("train", "validation", "test", None)) == outcome
    if remark:
        assert remark in "; ".join(listing.remarks)


def test_photos_of_iphones_are_read_with_the_extra(tmp_path):
    heif = pytest.importorskip("pillow_heif", reason="the heic extra is not installed")
    heif.from_pillow(picture("RGB")).save(tmp_path / "IMG_1.HEIC", quality=-1)
    image = tk.load_image(tmp_path / "IMG_1.HEIC", image_size=16, color_mode="grayscale")
    assert np.abs(image[..., 0].astype(int) - PIXELS).max() <= 8


def test_split_names_are_classes_on_demand(tmp_path):
    root = grow(tmp_path / "x", ["car/", "plane/", "train/"])
    assert list_images(root, split_folders=False).class_names == ("car", "plane", "train")


def test_links_are_followed(tmp_path):
    root = grow(tmp_path / "x", ["cat/", "dog/"])
    grow(tmp_path / "elsewhere", ["a/b.png", "c.png"])
    (root / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (root / "horse").symlink_to(tmp_path / "elsewhere" / "a")
    paths = [image.path for image in list_images(root).images]
    assert paths == ["cat/0.png", "cat/more/a/b.png", "cat/more/c.png", "dog/1.png", "horse/b.png"]


def test_links_in_a_circle_are_refused(tmp_path):
    root = grow(tmp_path / "x", ["cat/", "dog/"])
    (root / "cat" / "again").symlink_to(root / "cat")
    with pytest.raises(DataError, match=r"cat/again is a link to a folder that it lies in.*Remove the link"):
        list_images(root)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    root = grow(tmp_path / "x", ["cat/", "dog/"])
    os.mkfifo(root / "cat" / "pipe.png")
    assert len(list_images(root).images) == 2


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_dark_files_of_16_bits_are_named(tmp_path, bits):
    for number in range(24):
        write(tmp_path / "x" / "ab"[number % 2] / f"{number}.png", deep_noise(number, bits))
    with pytest.warns(
        TransferKitWarning, match=f"24 images have 16 bits a pixel and use only {bits} of them.*bit_depth=12"
    ):
        dark = tk.load_image_folder(tmp_path / "x", image_size=8, color_mode="grayscale")
    bright = tk.load_image_folder(tmp_path / "x", image_size=8, color_mode="grayscale", bit_depth=bits, name="bright")
    assert dark.train.images.max() < 64
    assert bright.train.images.max() > 200


def deep_noise(seed, bits):
    stream = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8)).astype(np.uint16)
    noise[0, 0] = 255
    Image.fromarray(noise << (bits - 8)).save(stream, "PNG")
    return stream.getvalue()


def test_floating_point_pixels_are_refused_by_name(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(DataError, match="floating-point values.*save it with 8 bits"):
        tk.load_image(tmp_path / "x.tif", image_size=4)


def test_what_is_said_of_a_folder_is_said_once_and_together(tmp_path):
    root = grow(tmp_path / "x", [f"{kind}/{number}.png" for kind in ("cat", "dog") for number in range(12)])
    write(root / "cat" / "logo.svg", b"<svg/>")
    write(root / "stray.png", encoded("PNG"))
    with pytest.warns(TransferKitWarning) as caught:
        tk.load_image_folder(root, image_size=8)
    tk.load_image_folder(root, image_size=8, split_seed=1)  # a warning would be an error here
    (warning,) = caught
    assert warning.filename == __file__
    assert str(warning.message).count("\n- ") == 2


@pytest.mark.parametrize("content", [b"\xff\xd8", b"\xff\xd8\xff\xe1\xff\xff", b"\x89PNG\r\n\x1a\n\0\0", b"GIF89a"])
def test_stripping_what_is_cut_gives_nothing_or_bytes(content):
    assert isinstance(strip_metadata(content), bytes | None)


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=150)
@given(
    form=st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "JPEG2000", "ICO", "TGA"]),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.one_of(st.none(), st.integers(0, 400)),
)
def test_damaged_files_are_pixels_or_a_data_error(form, changes, cut):
    content = bytearray(encoded(form))
    for place, value in changes:
        content[place % len(content)] = value
    with contextlib.suppress(DataError):
        image = decode_image(bytes(content[:cut]), Decoding(5, 7, "rgb", "pad", 10**5)).array
        assert image.shape == (5, 7, 3)
        assert image.dtype == np.uint8


@given(st.text(max_size=30))
def test_any_name_is_a_split_or_not(name):
    assert split_of(name) in ("train", "validation", "test", None)
    if split_of(name) is not None:
        assert split_of(name.swapcase()) == split_of(f"{name}_set") == split_of(name)


def test_splits_inside_classes_are_refused_and_other_folders_in_all_of_them_are_told(tmp_path):
    files = [
        f"{kind}/{part}/{number}.png" for kind in ("cat", "dog") for part in ("test", "train") for number in range(9)
    ]
    root = grow(tmp_path / "x", files)
    with pytest.raises(
        DataError, match="each class in x has folders named like splits .test, train.*test/cat.*split_folders=False"
    ):
        tk.load_image_folder(root, image_size=8)
    assert len(list_images(root, split_folders=False).images) == 36
    root = grow(tmp_path / "plants", [file.replace("test", "rust").replace("train", "scab") for file in files])
    with pytest.warns(TransferKitWarning, match="the same 2 folders .rust, scab.*load cat alone"):
        tk.load_image_folder(root, image_size=8)


def test_images_of_a_test_split_without_classes_are_left_out(tmp_path):
    files = [f"train/{kind}/images/{number}.png" for kind in ("cat", "dog") for number in range(12)]
    root = grow(tmp_path / "x", [*files, *(f"test/images/{number}.png" for number in range(3))])
    with pytest.warns(TransferKitWarning, match="the images in test lie in no class folder"):
        data = tk.load_image_folder(root, image_size=8)
    assert sum(len(split.labels) for split in data) == 24


def test_folders_that_only_say_images_are_passed_over_inside_splits(tmp_path):
    kinds = [
        f"{part}/images/{kind}/{number}.png"
        for part in ("train", "test")
        for kind in ("cat", "dog")
        for number in range(4)
    ]
    found = list_images(grow(tmp_path / "x", kinds), split_folders=True)
    assert found.class_names == ("cat", "dog")
    assert [image.split for image in found.images].count("test") == 8


def test_a_dataset_beside_another_folder_is_no_class(tmp_path):
    files = [
        f"pets/{part}/{kind}/{number}.png"
        for part in ("train", "test")
        for kind in ("cat", "dog")
        for number in range(2)
    ]
    root = grow(tmp_path / "x", [*files, "notes/0.png"])
    with pytest.raises(DataError, match="pets in x has folders named like splits .test, train.*load pets alone"):
        tk.load_image_folder(root, image_size=8)


def test_files_whose_bits_were_told_are_not_named(tmp_path):
    for number in range(24):
        write(tmp_path / "x" / "ab"[number % 2] / f"{number}.png", deep_noise(number, 12))
    tk.load_image_folder(tmp_path / "x", image_size=8, color_mode="grayscale", bit_depth=12)  # warnings are errors
