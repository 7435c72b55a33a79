"""What others report for a dataset, with sources, and how far each number can be believed."""

from importlib import resources
from typing import TYPE_CHECKING, Final

from transferkit.errors import UnknownNameError

if TYPE_CHECKING:
    import pandas as pd

_TABLES: Final = {"fashion_mnist": "published_fashion_mnist.csv"}


def published_results(dataset: str = "fashion_mnist") -> "pd.DataFrame":
    """Return the test accuracies that others report for a dataset.

    None of them was made by this library, and none was reproduced here: compare with them, but do not rank by them.

    Parameters
    ----------
    dataset : {"fashion_mnist"}, default "fashion_mnist"
        Which one; a dataset's ``name`` will do as well.

    Returns
    -------
    DataFrame
        One row a result, the sources one after the other, each in its own order. ``method``; ``accuracy``, a fraction;
        ``source``: ``"course"``, ``"README"`` (the table of results that users sent to Fashion-MNIST's authors) or ``"paper"``;
        ``reference``; ``preprocessing``; ``author``; ``credibility``: ``"reported"`` (in a paper), ``"unverified"`` (by nobody but
        the sender, who may have chosen the best epoch on test data) or ``"not credible"``; ``note``: the reservations.

    Raises
    ------
    UnknownNameError
        If there is no table for that dataset.

    Notes
    -----
    A credible frame for Fashion-MNIST: logistic regression 0.84, random forest 0.87 to 0.88, SVM 0.89 to 0.90, a small CNN 0.91
    to 0.94, a well-trained residual network 0.95 to 0.967. Most of these numbers come without an interval; with 10,000 test
    images, chance alone moves 0.93 by half a point either way.

    Examples
    --------
    >>> table = published_results("fashion_mnist")
    >>> table.loc[table["method"] == "Human", "accuracy"].item()
    0.835
    >>> float(table.loc[table["credibility"] == "not credible", "accuracy"].max())
    0.9965
    """
    import pandas as pd

    key = str(dataset).lower().replace("-", "_")
    if key not in _TABLES:
        raise UnknownNameError("dataset", dataset, _TABLES)
    file = resources.files("transferkit.compare") / _TABLES[key]
    with file.open(encoding="utf-8") as stream:
        return pd.read_csv(stream, keep_default_na=False)
