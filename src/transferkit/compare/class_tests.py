"""In which classes two models differ."""

from typing import TYPE_CHECKING

import numpy as np

from transferkit.compare.compared_model import ComparedModel
from transferkit.compare.pair_tests import compare_models, drop_impossible, find_clusters, take_verdicts
from transferkit.statistics.conventions import LEVEL

if TYPE_CHECKING:
    import pandas as pd


def test_classes(a: ComparedModel, b: ComparedModel, *, margin: float) -> "pd.DataFrame":
    """Return one row for each class that the test images have, with the recall of both models and the test of its difference.

    Parameters
    ----------
    a, b : ComparedModel
        Models with completed runs on the same test images.
    margin : float
        Differences up to this fraction count as practically none.

    Returns
    -------
    DataFrame
        Indexed by class name, see `transferkit.Comparison.class_tests`.
    """
    import pandas as pd

    labels, names = a.test_labels, a.example.class_names
    rows, present, clusters = {}, np.unique(labels), find_clusters((a, b))
    level = LEVEL / len(present)
    for label in present:
        chosen = labels == label
        recalls = {f"recall_{key}": model.correct[:, chosen].mean() for key, model in (("a", a), ("b", b))}
        tested = compare_models(a, b, images=chosen, clusters=clusters, margin=margin, level=level)
        rows[names[label]] = {"images": int(chosen.sum())} | recalls | tested
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("class")
    table["detectable"] = drop_impossible(table["detectable"], table["recall_a"], table["recall_b"])
    return take_verdicts(table)
