"""From image files to arrays of one size, on all cores."""

import warnings
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from transferkit.data import checks
from transferkit.data.idx import describe_content
from transferkit.data.listing import ImageFile, Listing
from transferkit.errors import DataError
from transferkit.progress import progress_bar

MAX_PIXELS = 89_478_485  # where Pillow starts to warn of a decompression bomb
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
_BATCH = 32

ColorMode = Literal["rgb", "grayscale"]
Fit = Literal["stretch", "crop", "pad"]


@dataclass(frozen=True)
class Decoding:
    """How an image file becomes an array."""

    height: int
    width: int
    color_mode: ColorMode
    fit: Fit
    max_pixels: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.height, self.width, 3 if self.color_mode == "rgb" else 1


def decode_image(path: Path, decoding: Decoding) -> NDArray[np.uint8]:
    """Decode and resize one image file.

    Parameters
    ----------
    path : Path
        A JPEG, PNG, BMP, GIF or WebP file, whatever its name says.
    decoding : Decoding
        Size, colours, fit, and the most pixels.

    Returns
    -------
    ndarray of uint8, shape (height, width, channels)
        Pixels from 0 to 255.

    Raises
    ------
    DataError
        If it cannot be read; the message is the reason, without the path.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with path.open("rb") as stream, Image.open(stream, formats=_FORMATS) as image:
            _check_pixels(image, decoding.max_pixels)
            return _to_array(image, decoding)
    except DataError:
        raise
    except UnidentifiedImageError:
        with path.open("rb") as stream:
            head = stream.read(64)
        what = describe_content(head) or ("not an image of a known format" if head else "an empty file")
        raise DataError(f"it is {what}") from None
    except Image.DecompressionBombError:
        raise DataError(f"it has more pixels than Pillow allows, and than max_pixels={decoding.max_pixels:,}") from None
    except Exception as error:  # damaged files make Pillow raise whatever its decoders stumble over
        raise DataError(f"{type(error).__name__}: {str(error).replace(str(path), path.name)}") from error


def _check_pixels(image: Any, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise DataError(f"{image.width}x{image.height} pixels are more than max_pixels={max_pixels:,}")


def _to_array(image: Any, decoding: Decoding) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    longest = 2 * max(decoding.height, decoding.width)
    image.draft(None, (longest, longest))  # lets JPEG decode at a fraction of its size, but never below twice ours
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits a pixel, which convert() would clip
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    elif image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    image = image.convert("RGB" if decoding.color_mode == "rgb" else "L")
    size = (decoding.width, decoding.height)
    bilinear = Image.Resampling.BILINEAR  # Pillow widens it to the area that shrinks to one pixel: no aliasing
    if decoding.fit == "stretch":
        image = image.resize(size, bilinear)
    elif decoding.fit == "crop":
        image = ImageOps.fit(image, size, bilinear)
    else:
        image = ImageOps.pad(image, size, bilinear, color="white")
    return np.asarray(image, dtype=np.uint8).reshape(decoding.shape)


def _decode_batch(
    root: Path, batch: Sequence[ImageFile], decoding: Decoding
) -> tuple[NDArray[np.uint8], list[bytes], dict[str, str]]:
    """Return the images that could be decoded, a digest of each (empty for a failure), and the failures."""
    arrays, digests, failures = [], [], {}
    for file in batch:
        try:
            array = decode_image(root / file.path, decoding)
        except DataError as error:
            failures[file.path] = str(error)
            digests.append(b"")
        else:
            arrays.append(array)
            digests.append(checks.digest_image(array))
    return np.array(arrays, dtype=np.uint8).reshape(-1, *decoding.shape), digests, failures


def decode_all(listing: Listing, decoding: Decoding, stream: IO[bytes]) -> tuple[list[bytes], dict[str, str]]:
    """Decode all files on all cores and write the images to `stream` in the order of the listing."""
    import joblib
    from PIL import Image

    batches = [listing.images[start : start + _BATCH] for start in range(0, len(listing.images), _BATCH)]
    num_workers = joblib.cpu_count()
    digests: list[bytes] = []
    failures: dict[str, str] = {}
    waiting: deque[Future[tuple[NDArray[np.uint8], list[bytes], dict[str, str]]]] = deque()
    with warnings.catch_warnings(), progress_bar("Decoding images") as advance:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # max_pixels decides
        warnings.simplefilter("ignore", UserWarning)  # Pillow's remarks on odd EXIF data and palettes
        executor = ThreadPoolExecutor(num_workers)
        try:
            for batch in [*batches, *[None] * 2 * num_workers]:  # the tail only waits for what is under way
                if batch is not None:
                    waiting.append(executor.submit(_decode_batch, listing.root, batch, decoding))
                if waiting and (batch is None or len(waiting) > 2 * num_workers):
                    arrays, batch_digests, batch_failures = waiting.popleft().result()
                    stream.write(arrays.data)
                    digests += batch_digests
                    failures |= batch_failures
                    advance(len(batch_digests), len(listing.images))
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
    return digests, failures
