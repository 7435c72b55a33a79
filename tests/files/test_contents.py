import io

import numpy as np
import pytest

from transferkit import files


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"", "an empty file"),
        (b"\n <!DOCTYPE html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        (b"PK\x03\x04rest", "a zip archive"),
        (b"\x1f\x8b\x08", "a gzip file"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    ],
)
def test_usual_mistakes_are_called_by_their_names(head, what):
    assert files.describe_content(head).startswith(what)


def test_numpys_own_files_are_known():
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    assert "NumPy" in files.describe_content(stream.getvalue())


@pytest.mark.parametrize("head", [b"\0\0\x08\x01", b"\xff\xd8\xff\xe0", b"hello"])
def test_nothing_is_said_of_what_may_be_right(head):
    assert files.describe_content(head) is None
