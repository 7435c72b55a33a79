"""A file of weights holds numbers of a believable size, and nothing else."""

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transferkit.models.hdf5 import BadFileError, check_hdf5, extract_weights, list_arrays


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "good.h5"
    with h5py.File(path, "w") as stream:
        stream["layer/kernel"] = np.ones((3, 4), "float32")
        stream["layer/bias"] = np.ones(4, "float64")
    return path


def test_shapes_and_sizes_are_listed_without_reading(file):
    assert sorted(list_arrays(file)) == [((3, 4), 4), ((4,), 8)]
    check_hdf5(file, max_bytes=80)


def test_shape_bomb_is_refused(tmp_path):
    path = tmp_path / "bomb.h5"
    with h5py.File(path, "w") as stream:
        stream.create_dataset("kernel", shape=(1 << 20, 1 << 16), dtype="float32", chunks=True, compression="gzip")
    assert path.stat().st_size < 1 << 20
    with pytest.raises(BadFileError, match="claim 274,877,906,944 bytes"):
        check_hdf5(path, max_bytes=1 << 24)


@pytest.mark.parametrize("link", [h5py.SoftLink("/layer"), h5py.ExternalLink("/etc/passwd", "/")])
def test_links_are_refused(file, link):
    with h5py.File(file, "a") as stream:
        stream["other"] = link
    with pytest.raises(BadFileError, match=f"link to elsewhere \\({type(link).__name__} at /other\\)"):
        check_hdf5(file, max_bytes=1000)


def test_group_that_contains_itself_is_refused(file):
    with h5py.File(file, "a") as stream:
        stream["layer/again"] = stream["layer"]
    with pytest.raises(BadFileError, match="nested"):
        check_hdf5(file, max_bytes=1000)


def test_virtual_data_is_refused(file, tmp_path):
    layout = h5py.VirtualLayout(shape=(3, 4), dtype="float32")
    layout[...] = h5py.VirtualSource(file, "layer/kernel", shape=(3, 4))
    path = tmp_path / "virtual.h5"
    with h5py.File(path, "w") as stream:
        stream.create_virtual_dataset("kernel", layout)
    with pytest.raises(BadFileError, match="keeps its data in another file"):
        check_hdf5(path, max_bytes=1000)


def test_external_data_is_refused(tmp_path):
    path = tmp_path / "external.h5"
    (tmp_path / "secret").write_bytes(bytes(64))
    with h5py.File(path, "w") as stream:
        stream.create_dataset("kernel", (16,), "float32", external=[(str(tmp_path / "secret"), 0, 64)])
    with pytest.raises(BadFileError, match="another file"):
        check_hdf5(path, max_bytes=1000)


def test_strings_are_refused(file):
    with h5py.File(file, "a") as stream:
        stream["text"] = "print('hello')"
    with pytest.raises(BadFileError, match="not numbers"):
        check_hdf5(file, max_bytes=1000)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 17\n", "Git LFS pointer.*git lfs pull"),
        (b"<!DOCTYPE html><html>Sign in</html>", "web page"),
        (b"\x00" * 100, "not an HDF5 file"),
    ],
)
def test_other_content_is_called_by_its_name(tmp_path, content, message):
    path = tmp_path / "weights.h5"
    path.write_bytes(content)
    with pytest.raises(BadFileError, match=message):
        check_hdf5(path, max_bytes=1000)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.floats(0.01, 0.99))
def test_truncated_file_never_passes_with_other_shapes(file, tmp_path, part):
    content = file.read_bytes()
    path = tmp_path / "cut.h5"
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(BadFileError):
        check_hdf5(path, max_bytes=1000)


def test_archive_without_weights_is_refused(tmp_path):
    import zipfile

    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(BadFileError, match=r"holds no model\.weights\.h5"):
        extract_weights(path, tmp_path, max_bytes=1000)


def test_archive_that_unpacks_to_too_much_is_refused(tmp_path):
    import zipfile

    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(5_000_000))
    with pytest.raises(BadFileError, match="claim 5,000,000 bytes"):
        extract_weights(path, tmp_path, max_bytes=1000)
