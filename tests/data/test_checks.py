import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes

from transferkit.data.checks import check_class_names, check_images, check_labels, find_overlap, infer_num_classes
from transferkit.errors import DataError

GOOD = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)


def with_value(value):
    images = GOOD.astype(np.float32)
    images[1, 2, 3, 0] = value
    return images


WRONG_IMAGES = [
    (with_value(np.nan), r"nan at index \(1, 2, 3, 0\)"),
    (with_value(np.inf), r"inf at index \(1, 2, 3, 0\)"),
    (with_value(-np.inf), "-inf at index"),
    (with_value(300), "go up to 300"),
    (GOOD / 255, "already scaled: float64.*pass uint8 pixels 0..255: .*Rescaling"),
    (GOOD / np.float32(127.5) - 1, "already normalised.*Rescaling"),
    (GOOD.astype(np.float32), r"float32 from 0 to 255.*np\.rint\(images\)\.astype\('uint8'\)"),
    (GOOD.astype(np.float16), "float16"),
    (GOOD.astype(np.int64), r"int64; expected uint8"),
    (GOOD.astype(np.int64) * 300, "int64 from 0 to .*Rescale first"),
    (GOOD.astype(np.int16) - 1, "int16 from -1 to"),
    (GOOD > 100, r"bool.*\* 255"),
    (GOOD.astype(np.complex64), "dtype complex64"),
    (GOOD.astype(str), "dtype <U"),
    ([np.zeros((8, 8, 3), np.uint8), np.zeros((9, 8, 3), np.uint8)], "different sizes"),
    (np.array([GOOD[0], None], dtype=object), "different sizes"),
    (GOOD.transpose(0, 3, 1, 2), r"channels-first.*transpose\(0, 2, 3, 1\)"),
    (GOOD[:, None, ..., 0], r"channels-first"),
    (GOOD[..., 0], r"4 axes .* got shape \(2, 8, 8\).*images\[\.\.\., None\]"),
    (GOOD[0], r"images\[None\]"),
    (GOOD[0, ..., 0], r"got shape \(8, 8\)"),
    (np.zeros((5, 784), np.uint8), r"reshape\(-1, 28, 28, 1\)"),
    (np.zeros(784, np.uint8), "4 axes"),
    (np.uint8(3), "4 axes"),
    (GOOD[None], "4 axes"),
    (GOOD[:0], "are empty"),
    (GOOD[:, :0], "no pixels"),
    (np.zeros((2, 0, 8, 3)), "no pixels"),
    ("images.png", "4 axes"),
    (np.ma.masked_equal(GOOD, GOOD[0, 0, 0, 0]), r"masked array with .* masked values.*filled"),
    (None, "of type NoneType; expected an array"),
]


def test_masked_array_in_which_nothing_is_masked_is_its_values():
    assert np.array_equal(check_images(np.ma.array(GOOD), name="images"), GOOD)
    assert check_labels(np.ma.array([0, 1]), num_classes=2, name="labels").tolist() == [0, 1]
    with pytest.raises(DataError, match=r"labels are a masked array with 1 masked values"):
        check_labels(np.ma.masked_equal([0, 1], 1), num_classes=2, name="labels")


@pytest.mark.parametrize("case", range(len(WRONG_IMAGES)))
def test_wrong_images_are_refused_with_a_cure(case):
    images, message = WRONG_IMAGES[case]
    with pytest.raises(DataError, match=message) as error:
        check_images(images, name="training images")
    assert str(error.value).startswith("training images")


def test_good_images_are_not_copied(tmp_path):
    mapped = np.memmap(tmp_path / "m", np.uint8, "w+", shape=GOOD.shape)
    read_only = GOOD.copy()
    read_only.flags.writeable = False
    for images in (GOOD, GOOD[:, ::-1], GOOD[..., :1], np.asfortranarray(GOOD), read_only, mapped, GOOD[:, :3]):
        checked = check_images(images, name="images")
        assert np.shares_memory(checked, images)
        assert np.array_equal(checked, images)
    assert isinstance(check_images(mapped, name="images"), np.memmap)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
def test_any_number_of_channels_is_fine(channels):
    assert check_images(np.zeros((2, 8, 8, channels), np.uint8), name="x").shape[3] == channels


def test_input_shape_of_a_model_is_compared():
    check_images(GOOD, name="images", input_shape=(None, None, 3))
    with pytest.raises(DataError, match=r"shape \(8, 8, 3\), but the model takes \(28, 28, 1\)"):
        check_images(GOOD, name="images", input_shape=(28, 28, 1))


@given(arrays(scalar_dtypes(), array_shapes(min_dims=0, max_dims=5, max_side=4)))
def test_any_array_is_right_or_a_data_error(array):
    try:
        checked = check_images(array, name="images")
    except DataError:
        return
    assert checked.dtype == np.uint8
    assert checked.ndim == 4


WRONG_LABELS = [
    (np.eye(3), r"one-hot: shape \(3, 3\).*argmax\(axis=1\)"),
    ([1, 2, 3], r"1-based: from 1 to 3.*labels - 1"),
    ([0, -1, 2], r"-1 at index 1 \(1 such\).*no label"),
    ([0, 255, 2], r"255 at index 1.*no label"),
    ([0, 3, 2], "3 at index 1.*expected 0 to 2 for 3 classes"),
    ([0, 10**12, 2], "1000000000000 at index 1"),
    (np.array([0, 2**64 - 1, 2], np.uint64), "18446744073709551615 at index 1"),
    (["cat", "dog", "cat"], r"not numbers.*'cat'.*np\.unique"),
    (np.array(["a", None, 1], dtype=object), "not numbers"),
    ([0.0, 1.0, 2.0], r"float64.*astype\('int64'\)"),
    ([0.0, np.nan, 2.0], "nan at index 1"),
    ([0.0, np.inf, 2.0], "inf at index 1"),
    ([True, False, True], "bool"),
    ([0, 1], "are 2, but there are 3 images"),
    (np.zeros((3, 1, 1), int), "one axis"),
    (0, "one axis"),
    (np.array([0, 1, 2], dtype="datetime64[s]"), "dtype datetime64"),
    ([[0], [1, 2], [0]], "look multi-label: an image has a list"),
    ([{"cat"}, {"dog", "cat"}, set()], "look multi-label: an image has a list"),
    (np.array([[1, 0], [1, 1], [0, 0]]), r"multi-label \(multi-hot\): shape \(3, 2\), rows with 0 to 2 ones"),
    (np.array([[0.2, 0.8], [0.5, 0.5], [1, 0]]), "look like probabilities"),
    (np.array([[12.5, 3], [1, 1], [0, 7]]), "Several numbers for an image"),
    ([36.6, 37.2, 38.0], "look like regression targets: float64 such as 36.6.*numpy.digitize"),
    (None, "one axis"),
]


@pytest.mark.parametrize("case", range(len(WRONG_LABELS)))
def test_wrong_labels_are_refused_with_a_cure(case):
    labels, message = WRONG_LABELS[case]
    with pytest.raises(DataError, match=message):
        check_labels(labels, num_classes=3, name="training labels", length=3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint64, np.int64, ">i4"])
def test_any_integers_become_int64(dtype):
    checked = check_labels(np.array([0, 2, 1], dtype=dtype), num_classes=3, name="labels")
    assert checked.dtype == np.int64
    assert checked.tolist() == [0, 2, 1]


def test_column_of_labels_is_flattened():
    assert check_labels(np.array([[0], [1]]), num_classes=2, name="labels").tolist() == [0, 1]


@given(arrays(scalar_dtypes(), array_shapes(min_dims=0, max_dims=2, max_side=6)))
def test_any_labels_are_right_or_a_data_error(array):
    try:
        checked = check_labels(array, num_classes=4, name="labels")
    except DataError:
        return
    assert checked.dtype == np.int64
    assert checked.ndim == 1
    assert set(checked) <= {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("labels", "message"),
    [([1, 2, 1], "1-based"), ([0, 2], "gaps"), ([0, 1, 255], "255 often means"), ([5], "gaps")],
)
def test_number_of_classes_is_not_guessed_from_odd_labels(labels, message):
    with pytest.raises(DataError, match=message):
        infer_num_classes(np.array(labels), name="labels")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "a", "b"], "'a' more than once"),
        (["a"], "one class only"),
        ([], "one class only"),
        (["a", 1], "got 1"),
        (["a", " "], "got ' '"),
        ("ab", "list of strings"),
    ],
)
def test_wrong_class_names_are_refused(names, message):
    with pytest.raises(DataError, match=message):
        check_class_names(names)


@given(st.lists(st.integers(0, 5), max_size=12), st.lists(st.integers(0, 5), max_size=12))
def test_overlap_is_found_by_content(first, second):
    left, right = (
        np.full((len(v), 2, 2, 1), 0, np.uint8) + np.array(v, np.uint8)[:, None, None, None] for v in (first, second)
    )
    pairs = find_overlap(left, right)
    assert [index for index, _ in pairs] == [index for index, value in enumerate(first) if value in second]
    assert all(first[i] == second[j] for i, j in pairs)


def test_arrays_of_one_size_in_an_object_array_are_told_apart_from_those_of_several():
    images = np.empty(2, object)
    images[:] = [GOOD[0], GOOD[1]]
    with pytest.raises(DataError, match=r"an array of 2 arrays.*np\.stack\(list\(images\)\)"):
        check_images(images, name="images")
    images[:] = [[[1], [2, 3]], [[4]]]
    with pytest.raises(DataError, match="different sizes"):
        check_images(images, name="images")
