"""What a report is written from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transferkit.compare.arms import Arm
from transferkit.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Results:
    """Models, table and tests; the columns are those of `transferkit.Comparison`."""

    arms: tuple[Arm, ...]
    baseline: str | None
    table: "pd.DataFrame"
    tests: "pd.DataFrame"
    margin: float

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, those of one model one after the other."""
        return tuple(run for arm in self.arms for run in arm.runs)

    @property
    def has_seeds(self) -> bool:
        """Whether a model was trained with more than one seed."""
        return any(len(arm.runs) > 1 for arm in self.arms)
