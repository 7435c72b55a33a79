"""What every fitter offers to the one way through a training, and what it gives back."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from transferkit.data.dataset import Dataset
from transferkit.runs.records import EpochRecord, ModelRecord, PhaseRecord, ProbeRecord, Selection, Status
from transferkit.runs.run import Run
from transferkit.training.identity import Identity

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a fit ended, whichever fitter did it.

    Parameters
    ----------
    status : {"completed", "diverged", "interrupted"}
        Only a completed one has a result.
    history, phases, model_info, probe
        Parts of the record; see `transferkit.Run`.
    predict : callable, optional
        From raw images to probabilities; None if there is no result.
    selection : {"validation", "last", "none"}
        What chose the weights.
    selected_epoch : int, optional
        The epoch whose weights the model has.
    trials : int
        How many settings were tried inside the fit.
    test_seconds : callable, optional
        Measures how long all test images take; the time of the one prediction if None.
    versions : dict
        Of packages besides those of every run.
    notes : list of str
        What a reader of the result should know.
    """

    status: Status
    history: list[EpochRecord]
    phases: list[PhaseRecord]
    model_info: ModelRecord
    predict: Predict | None
    selection: Selection
    selected_epoch: int | None = None
    trials: int = 1
    probe: ProbeRecord | None = None
    test_seconds: Callable[[], float] | None = None
    versions: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Training(Protocol):
    """One training that can be kept: what it is, and how it is done.

    Attributes
    ----------
    model : keras.Model or scikit-learn classifier
        What is trained.
    data : Dataset
        On what.
    name : str
        What the run is called.
    recipe : mapping
        What the record says of the recipe.
    identity : Identity
        What it is found again by.
    """

    model: Any
    data: Dataset
    name: str
    recipe: Any
    identity: Identity

    def guard(self) -> AbstractContextManager[None]:
        """Return a context that gives the model back as it was if an exception ends it."""
        ...

    def probe(self) -> ProbeRecord | None:
        """Return loss and gradients at the initial weights; None if there is no such thing."""
        ...

    def fit(self, checkpoint: Path | None) -> Outcome:
        """Train, going on from the checkpoint if there is one."""
        ...

    def interrupted(self) -> Outcome:
        """Return what there is after Ctrl-C."""
        ...

    def take_up(self, finished: Run) -> bool:
        """Give the model what a finished run has learned; return whether that could be done."""
        ...
