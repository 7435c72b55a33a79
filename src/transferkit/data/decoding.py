"""From image files to arrays of one size, on all cores."""

import io
import struct
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transferkit.data import checks
from transferkit.data.description import DecodingRecord
from transferkit.data.formats import formats_of
from transferkit.data.listing import ImageFile, Listing
from transferkit.errors import DataError
from transferkit.files import describe_content, open_file
from transferkit.progress import progress_bar

MAX_PIXELS = 89_478_485  # where Pillow starts to warn of a decompression bomb
_ORIENTATION, _BITS_PER_SAMPLE = 0x0112, 258  # TIFF tags
_BATCH = 32
MEMORY_BYTES = 3 << 30  # of all decoded images under way; even one of 16,384 x 16,384 pixels stays below
_COPIES = 3  # Pillow resizes, pads and hands over

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
    bit_depth: int = 16

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.height, self.width, 3 if self.color_mode == "rgb" else 1

    def describe(self) -> DecodingRecord:
        """Return what a record says of it."""
        return {
            "height": self.height,
            "width": self.width,
            "color_mode": self.color_mode,
            "fit": self.fit,
            "max_pixels": self.max_pixels,
            "bit_depth": self.bit_depth,
        }


class Decoded(NamedTuple):
    """An image, and how many bits its file's values take, where the file has room for more than 8."""

    array: NDArray[np.uint8]
    bits: int | None


def decode_image(source: Path | bytes, decoding: Decoding, *, name: str = "") -> Decoded:
    """Decode and resize one image.

    Damaged metadata (EXIF, text, colour profiles) are passed over where the pixels can be read without them.

    Parameters
    ----------
    source : Path or bytes
        A file of any format that `transferkit.data.formats` lists, or the content of one.
    decoding : Decoding
        Size, colours, fit, bits, and the most pixels.
    name : str, default ""
        What the file is called whose content is given; some formats (TGA, PCX) are told by it alone.

    Returns
    -------
    Decoded
        Pixels from 0 to 255, of shape (height, width, channels).

    Raises
    ------
    DataError
        If it cannot be read; the message is the reason, without the path.
    """
    from PIL import Image, UnidentifiedImageError

    formats = formats_of(source.name if isinstance(source, Path) else name)
    try:
        try:
            with _open(source) as stream, Image.open(stream, formats=formats) as image:
                return _to_array(image, decoding)
        except (DataError, Image.DecompressionBombError):
            raise
        except Exception:  # Pillow raises many types for metadata that make no sense
            with _open(source) as stream:
                bare = strip_metadata(stream.read())
            if bare is None:
                raise
            with Image.open(io.BytesIO(bare), formats=formats) as image:
                return _to_array(image, decoding)
    except DataError:
        raise
    except UnidentifiedImageError:
        with _open(source) as stream:
            what = describe_content(stream.read(64)) or "not an image of a known format"
        raise DataError(f"it is {what}") from None
    except Image.DecompressionBombError:
        raise DataError(f"it has more pixels than Pillow allows, and than max_pixels={decoding.max_pixels:,}") from None
    except Exception as error:  # damaged files make Pillow raise whatever its decoders stumble over
        name = source.name if isinstance(source, Path) else name or "the image"
        raise DataError(f"{type(error).__name__}: {str(error).replace(str(source), name)[:300]}") from error


def _open(source: Path | bytes) -> IO[bytes]:
    return open_file(source) if isinstance(source, Path) else io.BytesIO(source)


def decode_opened(image: Any, decoding: Decoding) -> NDArray[np.uint8]:
    """Return the pixels of a `PIL.Image.Image`, as those of a file.

    Raises
    ------
    DataError
        If it has too many pixels, or values that are no pixels.
    """
    return _to_array(image.copy(), decoding).array


def _to_array(image: Any, decoding: Decoding) -> Decoded:
    from PIL import Image, ImageOps

    if image.width * image.height > decoding.max_pixels:
        raise DataError(f"{image.width}x{image.height} pixels are more than max_pixels={decoding.max_pixels:,}")
    longest = 2 * max(decoding.height, decoding.width)
    if hasattr(image, "draft"):
        image.draft(None, (longest, longest))  # lets JPEG decode at a fraction of its size, but never below twice ours
    deep = any("16" in _raw_mode(tile) for tile in getattr(image, "tile", ()))
    depth = _bits_per_sample(image) or decoding.bit_depth
    image.load()
    image = _turn_upright(image)
    bits = None
    if image.mode == "F":
        raise DataError("it holds floating-point values, and nothing says which of them is white; save it with 8 bits")
    if image.mode.startswith("I"):  # 16 bits a pixel, which convert() would clip
        values = np.asarray(image).astype(np.int64)
        if depth == 16:  # otherwise the user or the file has said it
            bits = max(int(values.max()), 0).bit_length()
        image = Image.fromarray((values >> (depth - 8)).clip(0, 255).astype(np.uint8))
    elif image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    elif deep:  # Pillow keeps the upper 8 bits of each colour
        bits = 8 + max(int(extreme) for _, extreme in _extrema(image)).bit_length()
    image = image.convert("RGB" if decoding.color_mode == "rgb" else "L")
    size = (decoding.width, decoding.height)
    bilinear = Image.Resampling.BILINEAR  # Pillow widens it to the area that shrinks to one pixel: no aliasing
    if decoding.fit == "stretch":
        image = image.resize(size, bilinear)
    elif decoding.fit == "crop":
        image = ImageOps.fit(image, size, bilinear)
    else:
        image = ImageOps.pad(image, size, bilinear, color="white")
    return Decoded(np.asarray(image, dtype=np.uint8).reshape(decoding.shape), bits)


def _raw_mode(tile: Any) -> str:
    """Return how the pixels of a tile are stored, ``"RGB;16B"``; what else its codec is told (offsets, lengths) is no mode."""
    told = tile[3][0] if isinstance(tile[3], tuple) and tile[3] else tile[3]
    return told if isinstance(told, str) else ""


def _extrema(image: Any) -> list[tuple[int, int]]:
    extrema = image.getextrema()
    return [extrema] if isinstance(extrema[0], int | float) else list(extrema)


def _bits_per_sample(image: Any) -> int | None:
    """Return what a TIFF file says of its bits, if it is between 9 and 15."""
    try:
        bits = int(image.tag_v2[_BITS_PER_SAMPLE][0])
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        return None
    return bits if 8 < bits < 16 else None


def _turn_upright(image: Any) -> Any:
    """Turn and mirror an image as its EXIF orientation says; what cannot be read says nothing."""
    from PIL import Image

    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # noqa: BLE001 - EXIF data that make no sense
        return image
    turns = Image.Transpose
    turn = {
        2: turns.FLIP_LEFT_RIGHT, 3: turns.ROTATE_180, 4: turns.FLIP_TOP_BOTTOM, 5: turns.TRANSPOSE,
        6: turns.ROTATE_270, 7: turns.TRANSVERSE, 8: turns.ROTATE_90,
    }.get(orientation)  # fmt: skip
    return image if turn is None else image.transpose(turn)


# Files whose metadata stop Pillow


def strip_metadata(content: bytes) -> bytes | None:
    """Return a JPEG or PNG file without texts, profiles and other metadata; None for another or damaged file."""
    try:
        if content.startswith(b"\xff\xd8"):
            return b"\xff\xd8" + b"".join(_jpeg_segments(content))
        if content.startswith(b"\x89PNG\r\n\x1a\n"):
            return content[:8] + b"".join(_png_chunks(content))
    except (IndexError, struct.error):
        pass
    return None


def _jpeg_segments(content: bytes) -> Iterator[bytes]:
    """Yield the segments that hold pixels, and Adobe's, which says what the colours are."""
    place = 2
    while content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xDA:  # the pixels, to the end
            yield content[place:]
            return
        if marker == 0xFF:
            place += 1
            continue
        (length,) = struct.unpack_from(">H", content, place + 2)
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or marker == 0xEE:
            yield content[place : place + 2 + length]
        elif marker == 0xE1:
            yield from _orientation_segment(content[place + 4 : place + 2 + length])
        place += 2 + length


def _orientation_segment(payload: bytes) -> Iterator[bytes]:
    """Yield an EXIF segment with nothing but the orientation of the one given."""
    if not payload.startswith(b"Exif\0\0"):
        return
    order = "<" if payload[6:8] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", payload, 10)
        (count,) = struct.unpack_from(f"{order}H", payload, 6 + start)
        for index in range(count):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", payload, 8 + start + 12 * index)
            if tag == _ORIENTATION:
                entry = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, _ORIENTATION, 3, 1, value, 0, 0)
                yield b"\xff\xe1" + struct.pack(">H", len(entry) + 8) + b"Exif\0\0" + entry
    except struct.error:
        return


def _png_chunks(content: bytes) -> Iterator[bytes]:
    """Yield the chunks that a decoder needs."""
    place = 8
    while place < len(content):
        (length,) = struct.unpack_from(">I", content, place)
        kind = content[place + 4 : place + 8]
        if kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf"):
            yield content[place : place + 12 + length]
        place += 12 + length


# Many files


def _decode_batch(
    root: Path, batch: Sequence[ImageFile], decoding: Decoding
) -> tuple[list[NDArray[np.uint8]], list[bytes], dict[str, str], list[int]]:
    """Return the images that could be decoded, a digest of each (empty for a failure), the failures, and bits of values."""
    arrays, digests, failures, bits = [], [], {}, []
    for file in batch:
        try:
            decoded = decode_image(root / file.path, decoding)
        except DataError as error:
            failures[file.path] = str(error)
            digests.append(b"")
        else:
            arrays.append(decoded.array)
            digests.append(checks.digest_image(decoded.array))
            bits += [] if decoded.bits is None else [decoded.bits]
    return arrays, digests, failures, bits


def _share_memory(image_bytes: int, num_cores: int) -> tuple[int, int, int]:
    """Return how many threads decode, how many images are a batch, and how many batches wait to be written at most."""
    most_images = max(1, MEMORY_BYTES // (_COPIES * image_bytes))
    num_workers = min(num_cores, most_images)
    size = min(_BATCH, max(1, most_images // (2 * num_workers)))
    return num_workers, size, max(1, min(2 * num_workers, most_images // size))


def decode_all(
    listing: Listing, decoding: Decoding, stream: IO[bytes]
) -> tuple[list[bytes], dict[str, str], list[int]]:
    """Decode all files on all cores and write the images to `stream` in the order of the listing.

    The decoded images under way take up to `MEMORY_BYTES`: large ones are decoded on fewer cores, at worst one at a time.

    Returns
    -------
    digests : list of bytes
        One for each file, equal for equal images; empty for a file that cannot be read.
    failures : dict of str to str
        Why, by path.
    bits : list of int
        How many bits the values of each file take that has room for more than 8.
    """
    import joblib
    from PIL import Image

    num_workers, size, most_waiting = _share_memory(int(np.prod(decoding.shape)), joblib.cpu_count())
    batches = [listing.images[start : start + size] for start in range(0, len(listing.images), size)]
    digests: list[bytes] = []
    failures: dict[str, str] = {}
    bits: list[int] = []
    waiting: deque[Future[tuple[list[NDArray[np.uint8]], list[bytes], dict[str, str], list[int]]]] = deque()
    with warnings.catch_warnings(), progress_bar("Decoding images") as advance:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # max_pixels decides
        warnings.simplefilter("ignore", UserWarning)  # Pillow's remarks on odd EXIF data and palettes
        executor = ThreadPoolExecutor(num_workers)
        try:
            for batch in [*batches, *[None] * most_waiting]:  # the tail only waits for what is under way
                if batch is not None:
                    waiting.append(executor.submit(_decode_batch, listing.root, batch, decoding))
                if waiting and (batch is None or len(waiting) >= most_waiting):
                    arrays, batch_digests, batch_failures, batch_bits = waiting.popleft().result()
                    for array in arrays:
                        stream.write(array.data)
                    digests += batch_digests
                    failures |= batch_failures
                    bits += batch_bits
                    advance(len(batch_digests), len(listing.images))
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
    return digests, failures, bits
