"""Filters, what they respond to, and how features place images."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transferkit.errors import InvalidInputError, MissingDependencyError, UnknownNameError
from transferkit.plots.style import new_axes, plot_texts, shown_name, shown_title
from transferkit.runs.metrics import check_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST = 64


def plot_filters(
    filters: ArrayLike | Mapping[str, ArrayLike], *, columns: int = 8, title: str | None = None
) -> "Figure":
    """Draw filters: white adds, black subtracts, grey leaves out.

    Parameters
    ----------
    filters : array-like of float, or mapping of str to array-like
        Of shape (rows, columns, inputs, filters), from `conv_filters`: filters on three channels are drawn in colour, on any
        other number of channels their mean. A mapping holds one filter of shape (rows, columns) under each name, from
        `hand_designed_filters`.
    columns : int, default 8
        Filters in a row.
    title : str, optional
        Over the figure.

    Returns
    -------
    matplotlib.figure.Figure
        At most 64 filters, each on a scale of its own with zero at medium grey.

    Raises
    ------
    InvalidInputError
        If the shapes are not as above, or `columns` is below 1.

    Examples
    --------
    >>> import transferkit as tk
    >>> figure = plot_filters(tk.hand_designed_filters())
    """
    if isinstance(filters, Mapping):
        names, tiles = list(filters), [np.asarray(one, np.float64) for one in filters.values()]
        if not tiles or any(tile.ndim != 2 for tile in tiles):
            raise InvalidInputError("a mapping of filters must hold arrays of shape (rows, columns), at least one.")
    else:
        array = np.asarray(filters, np.float64)
        if array.ndim != 4 or not array.size:
            raise InvalidInputError(f"filters must have shape (rows, columns, inputs, filters); got {array.shape}.")
        array = array if array.shape[2] == 3 else array.mean(axis=2, keepdims=True)
        tiles = [
            array[..., place].squeeze(-1) if array.shape[2] == 1 else array[..., place]
            for place in range(array.shape[3])
        ]
        names = [""] * len(tiles)
    scaled = [0.5 + 0.5 * tile / (np.abs(tile).max() or 1.0) for tile in tiles]
    return _draw_tiles(scaled, names, columns, title, limits=(0, 1))


def plot_feature_maps(
    maps: ArrayLike | Mapping[str, ArrayLike], *, columns: int = 8, title: str | None = None
) -> "Figure":
    """Draw what filters find in one image, one map a filter: the brighter, the stronger.

    Parameters
    ----------
    maps : array-like of float, shape (rows, columns, filters), or mapping of str to array-like
        One image's part of `layer_outputs`. A mapping holds one map of shape (rows, columns) under each name, for instance from
        `filter_images`.
    columns : int, default 8
        Maps in a row.
    title : str, optional
        Over the figure.

    Returns
    -------
    matplotlib.figure.Figure
        At most 64 maps. Those of a layer are all on one scale, those of a mapping each on its own, with zero at medium grey if
        the map goes below zero.

    Raises
    ------
    InvalidInputError
        If the shapes are not as above, or `columns` is below 1.

    Examples
    --------
    >>> figure = plot_feature_maps(np.random.default_rng(0).random((6, 6, 4)))
    """
    if isinstance(maps, Mapping):
        named = {name: np.asarray(one, np.float64) for name, one in maps.items()}
        if not named or any(one.ndim != 2 or not one.size for one in named.values()):
            raise InvalidInputError("a mapping of maps must hold arrays of shape (rows, columns), at least one.")
        scaled = [
            (0.5 if one.min() < 0 else 0.0) + (0.5 if one.min() < 0 else 1.0) * one / (np.abs(one).max() or 1.0)
            for one in named.values()
        ]
        return _draw_tiles(scaled, list(named), columns, title, limits=(0, 1))
    array = np.asarray(maps, np.float64)
    if array.ndim != 3 or not array.size:
        raise InvalidInputError(
            f"maps must have shape (rows, columns, filters); got {array.shape}. Of several images give one: maps[0]."
        )
    tiles = [array[..., place] for place in range(array.shape[2])]
    return _draw_tiles(tiles, [""] * len(tiles), columns, title, limits=(float(array.min()), float(array.max())))


def _draw_tiles(
    tiles: Sequence[NDArray[Any]], names: Sequence[str], columns: int, title: str | None, *, limits: tuple[float, float]
) -> "Figure":
    if columns < 1:
        raise InvalidInputError(f"columns must be at least 1; got {columns!r}.")
    shown = tiles[:_MOST]
    columns = min(columns, len(shown))
    rows = -(-len(shown) // columns)
    with plot_texts("en", [*names, title or ""]):
        import matplotlib.pyplot as plt

        side = min(2.2, 7.2 / columns)  # inches; eight small ones or three large ones fill a page
        height = (side + (0.25 if any(names) else 0)) * rows + (0.4 if title else 0)
        figure, grid = plt.subplots(
            rows, columns, figsize=(side * columns, height), squeeze=False, layout="constrained"
        )
        for ax in grid.flat[len(shown) :]:
            ax.axis("off")
        for ax, tile, name in zip(grid.flat, shown, names, strict=False):
            ax.imshow(tile, cmap="gray", vmin=limits[0], vmax=limits[1], interpolation="nearest")
            ax.set_title(shown_name(name, 24), fontsize="small")
            ax.set_xticks([])
            ax.set_yticks([])
            ax.spines[:].set_color("#808080")  # a tile that is all white ends somewhere
            ax.spines[:].set_linewidth(0.5)
        if title:
            figure.suptitle(shown_title(title, int(13 * figure.get_figwidth())))
    return figure


def plot_occlusion(image: ArrayLike, drop: ArrayLike, *, ax: "Axes | None" = None, language: str = "en") -> "Axes":
    """Draw an image, and over it how much the class loses where it is covered.

    Parameters
    ----------
    image : array-like of uint8, shape (height, width, 1 or 3)
        The image.
    drop : array-like of float, shape (rows, columns)
        From `occlusion_map`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if None.
    language : {"en", "ko"}, default "en"
        Language of the label.

    Returns
    -------
    matplotlib.axes.Axes
        Red where covering lowers the probability, blue where it raises it.

    Raises
    ------
    InvalidInputError
        If the shapes are not as above.
    UnknownNameError
        If the language is not one of the above.

    Warns
    -----
    TransferKitWarning
        If Korean is asked for and no font with Hangul is installed; the label is English then.

    Examples
    --------
    >>> ax = plot_occlusion(np.zeros((28, 28, 1), np.uint8), np.eye(4))
    """
    pixels, loss = np.asarray(image), np.asarray(drop, np.float64)
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or loss.ndim != 2 or not loss.size:
        raise InvalidInputError(
            f"image must have shape (height, width, 1 or 3) and drop (rows, columns); got {pixels.shape} and {loss.shape}."
        )
    with plot_texts(language) as say:
        target = new_axes(4.2, 3.4) if ax is None else ax
        reach = float(np.abs(loss).max()) or 1.0
        extent = (-0.5, pixels.shape[1] - 0.5, pixels.shape[0] - 0.5, -0.5)
        target.imshow(pixels.squeeze(), cmap="gray", vmin=0, vmax=255)
        over: dict[str, Any] = {"cmap": "RdBu_r", "alpha": 0.55, "interpolation": "bilinear"}
        drawn = target.imshow(loss, vmin=-reach, vmax=reach, extent=extent, **over)
        target.figure.colorbar(drawn, ax=target, label=say("loss of probability when covered"))
        target.set_xticks([])
        target.set_yticks([])
    return target


def plot_feature_space(
    features: ArrayLike,
    labels: ArrayLike,
    class_names: Sequence[str],
    *,
    method: Literal["pca", "tsne", "umap"] = "tsne",
    seed: int = 0,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw images as points in two dimensions, so that images with like features lie together.

    Parameters
    ----------
    features : array-like of float, shape (n, features)
        From `extract_features` or `layer_outputs`; at least five images.
    labels : array-like of int, shape (n,)
        Class indices.
    class_names : sequence of str
        Their names.
    method : {"tsne", "pca", "umap"}, default "tsne"
        t-SNE keeps neighbours together, distances between groups mean nothing; principal components keep the directions of largest
        variance. scikit-learn computes both. UMAP is faster than t-SNE for many images, and needs the extra ``umap``.
    seed : int, default 0
        Of t-SNE and UMAP.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if None.

    Returns
    -------
    matplotlib.axes.Axes
        One colour a class.

    Raises
    ------
    InvalidInputError
        If features and labels do not fit together, there are fewer than five images, or the features are the same for all of them.
    UnknownNameError
        If the method is not one of the above.
    MissingDependencyError
        If UMAP is asked for and not installed.

    References
    ----------
    .. [1] van der Maaten & Hinton (2008), "Visualizing data using t-SNE", Journal of Machine Learning Research 9.
    .. [2] McInnes, Healy & Melville (2018), "UMAP: uniform manifold approximation and projection". arXiv:1802.03426

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ax = plot_feature_space(rng.random((20, 8)), np.arange(20) % 2, ["cat", "dog"], method="pca")
    """
    if method not in ("pca", "tsne", "umap"):
        raise UnknownNameError("method", method, ("pca", "tsne", "umap"))
    table, classes = np.asarray(features, np.float64), check_labels(labels, len(class_names))
    if table.ndim != 2 or len(table) != len(classes) or len(table) < 5:
        raise InvalidInputError(
            f"features must have shape (n, features) with one label each and n of 5 or more; got {table.shape} and {len(classes)} labels."
        )
    if not np.isfinite(table).all():
        raise InvalidInputError("features must be finite numbers; got NaN or infinity.")
    if np.ptp(table, axis=0).max(initial=0) <= 1e-7 * np.abs(table).max(initial=0):
        raise InvalidInputError(
            "features are the same for all images, so nothing tells them apart. Are they dead? See count_dead_features; a larger image_size "
            "helps."
        )
    places = _embed(table / np.abs(table).max(), method, seed)
    with plot_texts("en", class_names):
        import matplotlib.pyplot as plt

        if ax is None:
            ax = plt.subplots(figsize=(6.4, 4.8), layout="constrained")[1]
        colours = plt.get_cmap("tab10" if len(class_names) <= 10 else "turbo", len(class_names))
        for label in np.unique(classes):
            chosen = places[classes == label]
            ax.scatter(chosen[:, 0], chosen[:, 1], s=6, color=colours(int(label)), label=shown_name(class_names[label]))
        ax.set_xticks([])
        ax.set_yticks([])
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, markerscale=2, fontsize="small")
    return ax


def _embed(table: NDArray[np.float64], method: str, seed: int) -> NDArray[np.float64]:
    """Return a place in two dimensions for each row."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if method == "pca":
        return np.asarray(PCA(2, random_state=seed).fit_transform(table))
    # Fifty components hold nearly all there is and make the distances cheap, as the paper on t-SNE does.
    reduced = PCA(min(50, *table.shape), random_state=seed).fit_transform(table)
    if method == "umap":
        try:
            from umap import UMAP
        except ImportError as error:
            raise MissingDependencyError(
                f"method='umap' needs umap-learn, which cannot be imported ({error}). Install it with: "
                "pip install 'transferkit[umap]'"
            ) from None
        neighbours = min(15, len(table) - 1)
        return np.asarray(UMAP(neighbours, n_components=2, random_state=seed, n_jobs=1).fit_transform(reduced))
    perplexity = min(30.0, (len(table) - 1) / 3)
    with threadpool_limits(1):  # many tiny steps: threads that wait for each other cost more than they save
        return np.asarray(TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced))
