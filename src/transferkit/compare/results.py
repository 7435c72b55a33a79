"""What a report is written from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transferkit.compare.model_runs import ModelRuns
from transferkit.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Results:
    """Models, table and tests; the columns are those of `transferkit.Comparison`."""

    models: tuple[ModelRuns, ...]
    baseline: str | None
    table: "pd.DataFrame"
    tests: "pd.DataFrame"
    margin: float

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, those of one model one after the other."""
        return tuple(run for model in self.models for run in model.runs)

    @property
    def leading(self) -> list[ModelRuns]:
        """The most accurate model, and the one that the verdict sets against it: the baseline, or else the runner-up."""
        completed = [model for model in self.models if model.completed]
        ranked = sorted(completed, key=lambda model: -model.mean("accuracy"))
        return ranked[:1] + sorted(ranked[1:], key=lambda model: model.name != self.baseline)[:1]

    @property
    def has_seeds(self) -> bool:
        """Whether a model was trained with more than one seed."""
        return any(len(model.runs) > 1 for model in self.models)
