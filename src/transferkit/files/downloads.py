"""Downloads, verified before they appear under their name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transferkit.errors import DownloadError
from transferkit.files.contents import describe_content
from transferkit.files.places import is_offline
from transferkit.progress import progress_bar


class _PoochBar:
    """The part of tqdm's interface that pooch calls."""

    def __init__(self, advance: Callable[[int, int | None], None]) -> None:
        self.total = 0
        self._advance = advance

    def update(self, steps: int) -> None:
        self._advance(steps, self.total or None)

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


def _refuse_web_page(file: Path) -> None:
    with file.open("rb") as stream:
        what = describe_content(stream.read(256))
    if what and what.startswith("a web page"):
        raise DownloadError(f"it is {what}")


def download(
    url: str,
    path: Path,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    check: Callable[[Path], None] | None = None,
) -> None:
    """Download `url` to `path` through pooch, verified before it appears under its name.

    Parameters
    ----------
    url : str
        Where from.
    path : Path
        The final name.
    sha256, md5 : str, optional
        The content's hash, as far as its publisher states one.
    check : callable, optional
        Called with the temporary file, to raise if that is not what it should be. Needed where no hash is known.

    Raises
    ------
    DownloadError
        If the network is forbidden or fails, or the content has another hash or fails the check.
    """
    import pooch

    if is_offline():
        raise DownloadError(f"{url} was not asked for, since TRANSFERKIT_OFFLINE is set.")
    known_hash = f"sha256:{sha256}" if sha256 else f"md5:{md5}" if md5 else None
    if known_hash is None and check is None:
        raise DownloadError(f"{url} has no known hash; only verified files are kept.")
    pooch.get_logger().setLevel("WARNING")
    if known_hash is None and check is not None and path.is_file():
        try:
            check(path)
        except Exception:  # noqa: BLE001 - whatever is wrong with it, pooch would keep a file without a known hash
            path.unlink()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with progress_bar(f"Downloading {path.name}") as bar:
            http = pooch.HTTPDownloader(timeout=30, progressbar=_PoochBar(bar))

            def fetch(source: str, file: Any, owner: Any) -> None:
                http(source, file, owner)
                _refuse_web_page(Path(file))
                if check is not None:
                    check(Path(file))

            pooch.retrieve(url, known_hash, fname=path.name, path=path.parent, downloader=fetch)
    except Exception as error:  # requests, urllib3 and pooch each raise their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DownloadError(f"{url}: {type(error).__name__}: {reason}") from error
