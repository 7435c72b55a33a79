"""In which classes two models differ."""

from typing import TYPE_CHECKING

import numpy as np

from transferkit.compare.answers import LEVEL, compare_seeds, compare_single, take_verdicts
from transferkit.compare.model_runs import ModelRuns, are_paired
from transferkit.compare.paired import adjust_holm

if TYPE_CHECKING:
    import pandas as pd


def test_classes(a: ModelRuns, b: ModelRuns, *, margin: float) -> "pd.DataFrame":
    """Return one row for each class that the test images have, with the recall of both models and the test of its difference.

    Parameters
    ----------
    a, b : ModelRuns
        Models with completed runs on the same test images.
    margin : float
        Differences up to this fraction count as practically none.

    Returns
    -------
    DataFrame
        Indexed by class name, see `transferkit.Comparison.class_tests`.
    """
    import pandas as pd

    labels, names = a.example.test_labels, a.example.class_names
    rows, present = {}, np.unique(labels)
    level = LEVEL / len(present)
    for label in present:
        right_a, right_b = (model.correct[:, labels == label] for model in (a, b))
        row = {"images": right_a.shape[1], "recall_a": right_a.mean(), "recall_b": right_b.mean()}
        if len(right_a) == len(right_b) == 1:
            only_a, only_b = (right_a & ~right_b).sum(), (right_b & ~right_a).sum()
            row |= compare_single(only_a, only_b, right_a.shape[1], level=level)
        else:
            row |= compare_seeds(right_a, right_b, paired=are_paired(a, b), level=level)
        rows[names[label]] = row
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("class")
    table["p_holm"] = adjust_holm(table["p"])
    table["verdict"] = take_verdicts(table, margin=margin)
    return table
