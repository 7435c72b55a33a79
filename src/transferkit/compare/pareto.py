"""Which models are worth what they cost."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from transferkit.compare.compared_model import ComparedModel
from transferkit.errors import UnknownNameError
from transferkit.statistics.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd

COSTS: Final = ("train_seconds", "parameters", "trainable_parameters", "test_seconds")


def find_front(models: Sequence[ComparedModel], tests: "pd.DataFrame", cost: str) -> "pd.DataFrame":
    """Return one row a model whose cost is recorded, cheapest first; see `transferkit.Comparison.pareto`.

    Raises
    ------
    UnknownNameError
        If there is no such cost.
    """
    import pandas as pd

    if cost not in COSTS:
        raise UnknownNameError("cost", cost, COSTS)
    spent = {
        model.name: float(np.mean(known))
        for model in models
        if model.completed
        and (known := [value for run in model.completed if (value := getattr(run, cost)) is not None])
    }
    accuracy = {model.name: model.mean("accuracy") for model in models if model.name in spent}
    better: dict[str, list[str]] = {name: [] for name in spent}
    for row in tests.to_dict(orient="records"):
        winner = {Verdict.A_BETTER.value: row["a"], Verdict.B_BETTER.value: row["b"]}.get(row["verdict"])
        loser = row["b"] if winner == row["a"] else row["a"]
        if winner in spent and loser in spent and spent[winner] <= spent[loser]:
            better[loser].append(winner)
    rows = [
        {
            "cost": spent[name],
            "accuracy": accuracy[name],
            "on_front": not any(
                spent[other] <= spent[name]
                and accuracy[other] >= accuracy[name]
                and (spent[other], accuracy[other]) != (spent[name], accuracy[name])
                for other in spent
            ),
            "beaten_by": ", ".join(better[name]),
        }
        for name in spent
    ]
    table = pd.DataFrame(
        rows, index=pd.Index(list(spent), name="name"), columns=["cost", "accuracy", "on_front", "beaten_by"]
    )
    return table.sort_values("cost", kind="stable")
