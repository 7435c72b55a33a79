"""Which files are images, by their content where their name does not say so."""

import importlib.util
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

# Formats of pixels that Pillow decodes by itself. Left out: those that need another program (EPS, WMF), and containers
# of which it reads no pixels (MPEG, HDF5, GRIB, BUFR).
_WITH_SIGNATURE: Final = (
    "JPEG", "MPO", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "HEIF", "JPEG2000", "PPM", "QOI", "PSD", "ICNS", "ICO",
    "DDS", "SGI", "SUN", "FITS", "XPM",
)  # fmt: skip
_BY_NAME: Final = ("TGA", "PCX", "DCX", "DIB", "CUR", "FLI", "IM", "MSP", "PIXAR", "XBM", "BLP", "FTEX")
# Pictures that are not read, or of which Pillow would read another picture (the preview of a raw photograph).
UNREADABLE_SUFFIXES: Final = frozenset(
    {
        ".ai", ".arw", ".cr2", ".cr3", ".dng", ".emf", ".eps", ".heic", ".heif", ".hif", ".jxl", ".nef", ".orf", ".raf",
        ".rw2", ".svg", ".svgz", ".wmf",
    }
)  # fmt: skip
_NEVER_BY_CONTENT: Final = frozenset({".ai", ".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"})


@cache
def _readable() -> dict[str, frozenset[str]]:
    """Return the formats that this Pillow reads, each with the suffixes of its files."""
    from PIL import Image

    if importlib.util.find_spec("pillow_heif") is not None:
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    suffixes: dict[str, set[str]] = {name: set() for name in (*_WITH_SIGNATURE, *_BY_NAME) if name in Image.OPEN}
    for suffix, name in Image.registered_extensions().items():
        if name in suffixes:
            suffixes[name].add(suffix)
    suffixes["JPEG"] |= {".mpo"}
    return {name: frozenset(found) for name, found in suffixes.items()}


def decoder_versions() -> list[str]:
    """Return the versions of what decodes images: another one may decode otherwise."""
    import PIL
    from PIL import ImageFile

    versions = [f"Pillow {PIL.__version__}"]
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        versions.append("truncated files are read")
    if "HEIF" in _readable():
        import pillow_heif

        versions.append(f"pillow-heif {pillow_heif.__version__}")
    return versions


@cache
def image_suffixes() -> frozenset[str]:
    """Return the suffixes of image files that can be read, in lower case with the dot."""
    return frozenset().union(*_readable().values())


def formats_of(name: str) -> tuple[str, ...]:
    """Return the formats that a file of this name may hold: all with a signature, and what its suffix stands for."""
    suffix = Path(name).suffix.lower()
    known = _readable()
    return tuple(form for form in known if form in _WITH_SIGNATURE or suffix in known[form])


def looks_like_image(file: Path) -> bool:
    """Return whether a file is an image: by its suffix, or else by its content."""
    suffix = file.suffix.lower()
    if suffix in image_suffixes():
        return True
    return suffix not in _NEVER_BY_CONTENT and _holds_image(file)


@cache
def _signatures() -> tuple[Callable[[bytes], bool | str], ...]:
    """Return what Pillow recognises formats by: functions of a file's first bytes."""
    from PIL import Image

    known = (Image.OPEN[form][1] for form in _readable() if form in _WITH_SIGNATURE)
    return tuple(accept for accept in known if accept is not None)


def _holds_image(file: Path) -> bool:
    from PIL import Image

    if not file.is_file():  # a broken link, or a pipe, which would wait for ever
        return False
    try:
        with file.open("rb") as stream:
            head = stream.read(16)  # as much as Pillow looks at
            if not any(accept(head) for accept in _signatures()):
                return False
            stream.seek(0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                Image.open(stream, formats=formats_of("")).close()
            return True
    except Image.DecompressionBombError:
        return True
    except Exception:  # noqa: BLE001 - it is no image, whatever Pillow stumbles over
        return False
