import unicodedata

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import transferkit as tk
from transferkit.errors import DataError, InvalidInputError, TransferKitWarning, UnknownNameError


@pytest.fixture
def photos(tmp_path):
    """Write 40 images into one folder; return it and a table of them."""
    root = tmp_path / "photos"
    (root / "sub").mkdir(parents=True)
    rows = []
    for number in range(40):
        name = f"{'sub/' * (number % 2)}{number:02}.png"
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / name)
        rows.append({"file": name, "kind": ("cat", "dog")[number // 20], "owner": f"o{number % 10}"})
    return root, pd.DataFrame(rows)


def load(table, **options):
    return tk.load_image_table(table, **{"path": "file", "label": "kind", "image_size": 8, **options})


def contents(split):
    return {image.tobytes() for image in split.images}


def test_table_and_its_csv_file_give_the_same_dataset(photos):
    root, table = photos
    data = load(table, root=root)
    assert repr(data) == "Dataset('table', 2 classes, 8x8x3, train 28, validation 6, test 6)"
    for split in data:
        for image, label, path in zip(*split, split.paths, strict=True):
            assert np.array_equal(tk.load_image(root / path, image_size=8), image)
            assert table.set_index("file").loc[path, "kind"] == data.class_names[label]
    for separator, encoding in ((",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-8")):
        table.to_csv(root / "labels.csv", sep=separator, encoding=encoding, index=False)
        again = load(root / "labels.csv")
        assert (again.name, again.fingerprint) == ("labels", data.fingerprint)


def test_absolute_and_windows_paths_are_found(photos):
    root, table = photos
    expected = load(table, root=root).fingerprint
    assert load(table.assign(file=[str(root / name) for name in table["file"]]), root=root).fingerprint == expected
    assert load(table.assign(file=table["file"].str.replace("/", "\\")), root=root).fingerprint == expected


@pytest.mark.parametrize("kind", [int, float, "category", "string", bool])
def test_labels_of_every_type_become_classes(photos, kind):
    root, table = photos
    labels = table["kind"] if kind in ("category", "string") else (table["kind"] == "dog").astype(int) * 7 + 3
    data = load(table.assign(kind=(labels == 10 if kind is bool else labels).astype(kind)), root=root)
    names = {"category": ("cat", "dog"), "string": ("cat", "dog"), bool: ("False", "True")}.get(kind, ("3", "10"))
    assert data.class_names == names


def test_splits_and_groups_are_columns(photos):
    root, table = photos
    parts = np.where(np.arange(40) % 5 == 0, "test", np.where(np.arange(40) % 5 == 1, "dev", "Train"))
    data = load(table.assign(part=parts), root=root, split="part")
    assert [len(split.labels) for split in data] == [24, 8, 8]
    assert set(data.test.paths) == set(table["file"][::5])
    data = load(table, root=root, groups="owner", test=0.2, validation=0.2)
    owners = [set(table.set_index("file").loc[list(split.paths), "owner"]) for split in data]
    assert not owners[0] & owners[2]
    assert not owners[1] & owners[2]
    assert not owners[0] & owners[1]
    assert [len(split.labels) for split in data] == [24, 8, 8]


def test_rows_that_repeat_a_file_count_once(photos):
    root, table = photos
    with pytest.warns(TransferKitWarning, match="3 rows repeat a file"):
        data = load(pd.concat([table, table[:3]]), root=root)
    assert sum(len(split.labels) for split in data) == 40


TABLES = {
    "missing label": (lambda t: t.assign(kind=t["kind"].where(t.index > 1)), {}, DataError, r"2 of 40 are missing.*dropna"),
    "two labels": (lambda t: pd.concat([t, t[:1].assign(kind="dog")]), {}, DataError,
                   "1 files have several labels .*00.png is cat and dog.*Multi-label data are not supported"),
    "lists": (lambda t: t.assign(kind=[["a"], ["a", "b"]] * 20), {}, DataError, "look multi-label"),
    "regression": (lambda t: t.assign(kind=np.arange(40) / 7), {}, DataError, "look like regression targets"),
    "one class": (lambda t: t.assign(kind="cat"), {}, DataError, "one class only"),
    "no rows": (lambda t: t[:0], {}, DataError, "no rows"),
    "no such column": (lambda t: t, {"label": "knd"}, UnknownNameError, "unknown column 'knd'. Did you mean 'kind'"),
    "other folder": (lambda t: t, {"root": "."}, DataError, r"none of the files .*root="),
    "no suffix": (lambda t: t.assign(file=t["file"].str.removesuffix(".png")), {}, DataError, r"table\['file'\] \+ '.png'"),
    "unknown split": (lambda t: t.assign(part="elsewhere"), {"split": "part"}, DataError, "'elsewhere' is the name of no split"),
    "some files missing": (lambda t: t.assign(file=t["file"].where(t.index > 0, "x.png")), {}, DataError, "1 of 40 image files"),
    "missing group": (lambda t: t.assign(owner=t["owner"].where(t.index > 0)), {"groups": "owner"}, InvalidInputError, "has none"),
    "not a table": (lambda t: t.to_dict(), {}, InvalidInputError, "must be a DataFrame or the path of a CSV file; got dict"),
}  # fmt: skip


@pytest.mark.parametrize("what", TABLES)
def test_tables_that_cannot_be_used_are_refused(photos, what):
    root, table = photos
    change, options, error, message = TABLES[what]
    with pytest.raises(error, match=message):
        load(change(table), **{"root": root, **options})


def test_file_in_another_encoding_is_refused_with_the_cure(photos):
    root, table = photos
    table.assign(kind=table["kind"].replace("cat", "고양이")).to_csv(root / "labels.csv", encoding="cp949", index=False)
    with pytest.raises(DataError, match="is not UTF-8.*encoding='cp949'"):
        load(root / "labels.csv")


@pytest.mark.parametrize(
    ("kinds", "names"),
    [
        (("None", "NA"), ("NA", "None")),
        (("01", "02"), ("01", "02")),
        (("2", "10"), ("2", "10")),
        (("3.0", "2.0"), ("2", "3")),
        (("cat", " cat "), None),
        (("nan", "cat"), None),
    ],
)
def test_a_csv_file_is_not_guessed_at(photos, kinds, names):
    root, table = photos
    table["kind"] = [kinds[row % 2] for row in range(40)]
    table.to_csv(root / "labels.csv", index=False)
    if names is None:
        with pytest.raises(DataError, match="one class only|20 of 40 are missing"):
            load(root / "labels.csv")
    else:
        assert load(root / "labels.csv").class_names == names


def test_what_programs_write_for_nothing_is_nothing_but_in_labels(photos):
    root, table = photos
    table["kind"] = ["NA", "cat"] * 20
    table["owner"] = ["NULL", *table["owner"][1:]]
    table["part"] = ["NA"] * 30 + ["test"] * 10
    table.to_csv(root / "labels.csv", index=False)
    data = load(root / "labels.csv", split="part")
    assert (data.class_names, len(data.test.labels)) == (("NA", "cat"), 10)
    with pytest.raises(InvalidInputError, match="image 0 has none"):
        load(root / "labels.csv", groups="owner")


def test_files_that_are_called_by_numbers_keep_their_zeros(photos):
    root, table = photos
    for row, file in enumerate(table["file"]):
        (root / file).rename(root / f"{row:04d}")
    table["file"] = [f"{row:04d}" for row in range(40)]
    table.to_csv(root / "labels.csv", index=False)
    assert len(load(root / "labels.csv").train.labels) == 28


@pytest.mark.parametrize("column", ["part", "owner"])
def test_a_file_in_two_splits_or_groups_is_refused(photos, column):
    root, table = photos
    table["part"] = "train"
    table.loc[30:, "part"] = "test"
    twice = pd.concat(
        [table, table.head(1).assign(part="test") if column == "part" else table.head(1).assign(owner="x")]
    )
    with pytest.raises(DataError, match=r"00\.png stands in several rows"):
        load(twice, root=root, split="part", groups="owner")


@pytest.mark.parametrize("kinds", [("12345678901234567890", "2"), ("1e3", "1000"), ("inf", "1"), ("0x1F", "31")])
def test_what_is_no_number_in_a_csv_file_stays_a_name(photos, kinds):
    root, table = photos
    table.assign(kind=[kinds[number // 20] for number in range(40)]).to_csv(root / "labels.csv", index=False)
    assert set(load(root / "labels.csv").class_names) == set(kinds)


def test_numbers_in_a_csv_file_are_in_the_order_of_numbers(photos):
    root, table = photos
    table.assign(kind=[(10, 9)[number // 20] for number in range(40)]).to_csv(root / "labels.csv", index=False)
    assert load(root / "labels.csv").class_names == ("9", "10")


def test_names_are_found_that_an_archive_wrote_in_another_form(tmp_path):
    names = [f"사진{number}.png" for number in range(20)]
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / unicodedata.normalize("NFD", name))
    table = pd.DataFrame({"file": names, "kind": ["고양이", "강아지"] * 10})
    data = load(table, root=tmp_path)
    assert sum(len(split.labels) for split in data) == 20
    table["kind"] = [
        unicodedata.normalize(("NFC", "NFD")[number // 2 % 2], kind) for number, kind in enumerate(table.kind)
    ]
    assert load(table, root=tmp_path).class_names == data.class_names


@pytest.mark.parametrize(
    ("name", "reader"),
    [("labels.csv.gz", "read_csv"), ("labels.xlsx", "read_excel"), ("labels.parquet", "read_parquet")],
)
def test_tables_of_other_kinds_are_refused_with_the_way_to_read_them(photos, name, reader):
    root, _ = photos
    (root / name).write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match=rf"is no CSV file. Pass pandas\.{reader}"):
        load(root / name)


def test_columns_are_given_by_their_names(photos):
    root, table = photos
    for options in ({"label": table["kind"]}, {"groups": table["owner"]}, {"groups": str.lower}):
        with pytest.raises(InvalidInputError, match="must be the name of a column"):
            load(table, root=root, **options)
    with pytest.raises(DataError, match="2 columns called 'kind'"):
        load(pd.concat([table, table[["kind"]]], axis=1), root=root)


@pytest.mark.parametrize("name", ["a" * 300, "~$nobody.png"])
def test_names_that_no_file_can_have_are_named(photos, name):
    root, table = photos
    table.loc[0, "file"] = name
    with pytest.raises(DataError, match="1 of 40 image files cannot be read"):
        load(table, root=root)
