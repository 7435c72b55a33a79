"""repeat: one recipe, one run for each seed."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transferkit.errors import each_warning_once
from transferkit.runs.run import Run
from transferkit.training.tasks import Build, Data, Method, Task, check_build, check_method, check_seeds, run_tasks


@each_warning_once()
def repeat(
    build: Build,
    data: Data,
    *,
    seeds: Iterable[int],
    name: str | None = None,
    method: Method = "train",
    folder: str | Path | None = None,
    n_jobs: int | None = None,
    verbose: bool = True,
    **options: Any,
) -> list[Run]:
    """Train one recipe with several seeds, so that a comparison can tell luck from merit.

    The seed draws the initial weights, the order of the images, augmentation and dropout, and, if `data` is a function, the
    split: as many of the things that move a result as possible (Bouthillier et al. 2021, arXiv:2103.03098). All runs have
    one name; `compare_runs` counts runs of one name as one model.

    Parameters
    ----------
    build : callable
        Returns a new compiled model; it is passed ``seed=`` if it takes that. `build_cnn`, a ``functools.partial`` of
        `build_transfer_model`, or a function of your own. Without a seed parameter, Keras's unseeded initialisers follow the
        seed all the same.
    data : Dataset or callable
        The dataset of all runs, or a function of ``seed=`` that returns one, such as `load_fashion_mnist`: then the
        validation split follows the seed too. The test images must be the same for every seed.
    seeds : iterable of int
        One run each; distinct, 0 or more.
    name : str, optional
        The name of all runs; the model's name if None.
    method : {"train", "fine_tune"}, default "train"
        What trains: `train` or `fine_tune`.
    folder : path, optional
        Save each run as ``folder/<name>-seed-<seed>``. The same call finds finished runs again instead of training, and goes
        on where a killed one stopped.
    n_jobs : int, optional
        How many runs at once: processes on this machine, or whatever ``joblib.parallel_config`` says, such as a Dask
        cluster. None means 1 outside of a ``parallel_config``; -1 one for each core. See Notes.
    verbose : bool, default True
        Whether progress is shown: a live bar for the run under way, and a line a run.
    **options
        Of the method: ``epochs``, ``learning_rate``, ``augment``, ``overwrite``, ... Each seed trains with copies of the callbacks.

    Returns
    -------
    list of Run
        In the order of the seeds, without their models: those of saved runs come from ``load_model(run.path)``.

    Raises
    ------
    InvalidInputError
        Before any training, if the seeds are empty, repeated or no ints of 0 or more, `build` returns no compiled model, or
        `data` is no dataset.
    UnknownNameError
        Before any training, if the method does not exist or does not have an option.
    FailedRunsError
        At the end, if some runs failed: it has the finished ones as ``.runs`` and the exceptions as ``.failures``. If all
        failed for the same reason, that error is raised.

    Warns
    -----
    TransferKitWarning
        If `build` takes no seed and all its models start from the same weights.

    Notes
    -----
    Processes do not crowd each other out: TensorFlow and LiteRT take as many threads in each as joblib grants (cores divided
    by `n_jobs`, or ``inner_max_num_threads`` of ``parallel_config``) or Dask (one, unless its ``OMP_NUM_THREADS`` says
    otherwise). One training rarely uses all cores well, so several at once on a CPU usually finish earlier in total; on one
    GPU leave `n_jobs` at 1. Each process needs the memory of a training, and arrays are shared between the processes of one
    machine as memory maps. With threads instead of processes, one run trains at a time. On a cluster, pass a function as
    `data`, so that images need not travel, and a folder that all machines see.

    The features of frozen layers are computed once for all seeds.

    Examples
    --------
    >>> import functools
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> build = functools.partial(tk.build_cnn, filters=(4, 8))
    >>> runs = tk.repeat(build, data, seeds=(0, 1), name="CNN", epochs=1, verbose=False)
    >>> runs
    [Run('CNN', completed, ..., seed 0), Run('CNN', completed, ..., seed 1)]
    >>> tk.compare_runs(runs).table["seeds"].to_dict()
    {'CNN': 2}
    """
    chosen = check_seeds(seeds)
    check_method(method, options)
    default = check_build(build, chosen, method)
    named = default if name is None else name
    tasks = [
        Task(build, method, options, named, seed, f"{named}-seed-{seed}", planned_seeds=tuple(chosen))
        for seed in chosen
    ]
    return run_tasks(tasks, data, folder=folder, n_jobs=n_jobs, verbose=verbose)
