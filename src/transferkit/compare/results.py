"""What a report is written from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transferkit.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Results:
    """Runs, table and tests; the columns are those of `transferkit.Comparison`."""

    runs: tuple[Run, ...]
    baseline: str | None
    table: "pd.DataFrame"
    tests: "pd.DataFrame"
    margin: float
