"""Test images that are equal, or show one thing: they count as one cluster, not as so many independent images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Clusters = NDArray[np.int64]
"""The cluster of each image, shape (images,): the same number for images that belong together, from 0 without gaps."""


def number_clusters(numbers: Sequence[int] | NDArray[np.int64]) -> Clusters:
    """Return the clusters numbered from 0 without gaps.

    Examples
    --------
    >>> number_clusters([7, 2, 7]).tolist()
    [1, 0, 1]
    """
    return np.unique(np.asarray(numbers, np.int64), return_inverse=True)[1].astype(np.int64)


def add_by_cluster(values: NDArray[np.float64], clusters: Clusters | None) -> NDArray[np.float64]:
    """Return the sum of the values over each cluster, along the last axis; the values themselves where there are no clusters."""
    if clusters is None:
        return values
    order = np.argsort(clusters, kind="stable")
    starts = np.searchsorted(clusters[order], np.arange(clusters.max() + 1))
    return np.add.reduceat(values[..., order], starts, axis=-1)


def score_clusters(scores: NDArray[np.float64], clusters: Clusters | None) -> NDArray[np.float64]:
    """Return one score a cluster, shape (seeds, clusters), whose mean and scatter are those of the mean over images.

    The mean of a row stays what it is. Clusters are the units that were drawn, so the scatter of these scores, by the number of clusters,
    is the variance of the mean (linearisation of a ratio; Cochran 1977, "Sampling Techniques", section 9A.6).
    """
    if clusters is None:
        return scores
    means = scores.mean(axis=-1, keepdims=True)
    sums = add_by_cluster(scores - means, clusters)
    return means + sums * (sums.shape[-1] / scores.shape[-1])


def count_independent(count: int, clusters: Clusters | None) -> float:
    """Return how many independent images the clusters are worth at least (Kish 1965, "Survey Sampling", section 8.2)."""
    return count if clusters is None else count**2 / float(np.square(np.bincount(clusters)).sum())
