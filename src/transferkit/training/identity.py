"""What makes a training the one it is, part by part, so that it is found again only as itself.

Each part is a SHA-256 of what is executed or of a value, or, where there is none, the reason. A training with such a part is never
found again: it is trained anew.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from transferkit.backends import chosen_backend
from transferkit.data.dataset import Dataset
from transferkit.errors import warn
from transferkit.features.prefix import Prefix
from transferkit.models.devices import even
from transferkit.models.keras_internals import fit_plainly, given_to_compile, is_seed_state, overrides, set_by_user
from transferkit.models.program import model_program_digest
from transferkit.runs.records import PartRecord, ProbeRecord
from transferkit.runs.run import Run
from transferkit.runs.storage import weights_digest
from transferkit.training.checkpoint import values_of
from transferkit.training.compiled import other_optimizer, snapshot
from transferkit.training.estimators import NO_RECIPE
from transferkit.training.network import Network
from transferkit.training.values import UnidentifiedError, is_installed, value_digest

PROTOCOL = 2  # raised when the same call would train in another way
_PROBE_IMAGES = 16
# Of the larger; gradients of MobileNet from scratch differ by 2% between an Intel and an AMD processor.
_SAME_LOSS, _SAME_GRADIENTS = 1e-3, 5e-2


@dataclass(frozen=True)
class Identity:
    """The parts that determine a training, by name: a SHA-256, or None and why there is none."""

    parts: Mapping[str, PartRecord]

    @property
    def key(self) -> str:
        """One SHA-256 over all parts."""
        return _sha256({name: part["sha256"] for name, part in self.parts.items()})

    @property
    def unknown(self) -> dict[str, str]:
        """The parts that have no value, with the reason."""
        return {name: part.get("reason", "") for name, part in self.parts.items() if part["sha256"] is None}

    def differing(self, run: Run) -> list[str]:
        """Return the parts in which a run was another training; those without a value are left out."""
        return [
            name
            for name, part in self.parts.items()
            if part["sha256"] is not None and part["sha256"] != _sha_of(run, name)
        ]


def _sha_of(run: Run, part: str) -> str | None:
    return run.identity[part]["sha256"] if part in run.identity else None


def identify_network(
    model: Any,
    data: Dataset,
    *,
    recipe: Mapping[str, Any],
    settings: Mapping[str, Any],
    callbacks: tuple[Any, ...],
    seed: int,
    compiled: bool = True,
    prefix: Prefix | None = None,
) -> Identity:
    """Return the identity of a network's training, as model, data and options are now.

    Parameters
    ----------
    model : keras.Model
        Compiled, with the weights that it starts from.
    data : Dataset
        Its pixels and labels are hashed anew, since an array may have been changed in place.
    recipe : mapping
        What the record says of the recipe.
    settings : mapping
        Options that are objects, such as a schedule of one's own.
    callbacks : tuple of keras.callbacks.Callback
        Those that write and change nothing count by their class.
    seed : int
        Of order, augmentation and dropout.
    compiled : bool, default True
        Whether what the model is compiled with has a part in it.
    prefix : Prefix, optional
        The part that stays frozen in all phases, whose program was traced already.
    """
    given = given_to_compile(model) if compiled else {}
    own = overrides(model)
    parts: dict[str, Callable[[], Any]] = {
        "model": lambda: _programs(model, prefix),
        "weights": lambda: [
            weights_digest(model),
            [bool(v.trainable) for v in model.variables if not is_seed_state(v)],
        ],
        "code of its own": lambda: _own_code(model) if own else None,
        "loss": lambda: [given.get("loss"), given.get("loss_weights")],
        "metrics": lambda: [given.get("metrics"), given.get("weighted_metrics")],
        "optimizer": lambda: model.optimizer if compiled else None,
        "callbacks": lambda: list(callbacks),
        "settings": lambda: dict(settings),
        "recipe": lambda: _plain(recipe),
        "data": lambda: data.fingerprint,
        "seed": lambda: seed,
        "protocol": lambda: [PROTOCOL, keras.backend.backend(), keras.config.dtype_policy().name],
    }
    return Identity({name: _part(value) for name, value in parts.items()})


def identify_classifier(classifier: Any, data: Dataset, *, seed: int, class_weight: Any = None) -> Identity:
    """Return the identity of a scikit-learn classifier's training; `class_weight` is an array with one number a class."""
    parts: dict[str, Callable[[], Any]] = {
        "classifier": lambda: [*_estimator(classifier), *([] if class_weight is None else [class_weight])],
        "data": lambda: data.fingerprint,
        "seed": lambda: seed,
        "protocol": lambda: PROTOCOL,
    }
    return Identity({name: _part(value) for name, value in parts.items()})


def _estimator(estimator: Any) -> list[Any]:
    """Return class and parameters of an estimator, with those inside it taken apart too.

    Of a class of one's own also the other attributes, without those that a fit leaves: ``_private`` and ``learned_``.
    """
    given = estimator.get_params(deep=False)
    held = {} if is_installed(type(estimator)) else vars(estimator)
    others = {
        name: value
        for name, value in held.items()
        if name not in given and not (name.startswith("_") or name.endswith("_"))
    }
    taken = {name: _taken_apart(value) for name, value in given.items() if name not in NO_RECIPE}
    return [type(estimator), taken, *([others] if others else [])]


def _taken_apart(value: Any) -> Any:
    if hasattr(value, "get_params") and not isinstance(value, type):
        return _estimator(value)
    return [_taken_apart(item) for item in value] if isinstance(value, list | tuple) else value


def _part(value: Callable[[], Any]) -> PartRecord:
    try:
        return {"sha256": value_digest(value())}
    except UnidentifiedError as error:
        return {"sha256": None, "reason": str(error)}


def _programs(model: Any, prefix: Prefix | None) -> list[str]:
    """Return what the model executes in training and in inference."""
    rest = None if prefix is None else (prefix.finish, prefix.shape)
    found = [model_program_digest(model, training=training, rest=rest) for training in (True, False)]
    found += [] if prefix is None else [prefix.digest]
    if None in found:
        raise UnidentifiedError("what the model computes could not be traced")
    return [str(digest) for digest in found]


def _own_code(model: Any) -> list[Any]:
    """Return the classes of a model and those in it, and what their objects hold beside what Keras needs."""
    kinds = [type(model), *(type(layer) for layer in model.layers if isinstance(layer, keras.Model))]
    return [kinds, {name: value for name, value in set_by_user(model).items() if not _holds_graph(value)}]


def _holds_graph(value: Any) -> bool:
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else [value]
    return any(isinstance(part, keras.KerasTensor | keras.layers.Layer | keras.Variable) for part in parts)


def _plain(recipe: Mapping[str, Any]) -> str:
    return json.dumps(recipe, sort_keys=True, default=repr)


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def probe_network(
    model: Any,
    data: Dataset,
    *,
    seed: int,
    one_hot: bool,
    images: int = _PROBE_IMAGES,
    network: Network | None = None,
) -> ProbeRecord:
    """Return the loss of one fixed batch at the weights as they are, and the norm of its gradient for each trained variable.

    One real step with the model's own code, loss and dropout, of plain gradient descent with rate 1, so that the weights move by
    the gradient; then everything is put back.
    """
    count = len(data.train.labels)
    chosen = np.sort(np.random.default_rng(0).permutation(count)[: even(min(images, count), model)])
    labels = data.train.labels[chosen]
    targets = np.eye(data.num_classes, dtype=np.float32)[labels] if one_hot else labels
    restore = snapshot(model)
    with chosen_backend().placed(model):
        descent = keras.optimizers.SGD(1.0)
    inputs: Any = np.asarray(data.train.images[chosen])
    part = model
    if network is not None and network.cache is not None:  # what comes after the frozen part, on its kept features
        inputs, part = network.features(inputs), network.model
    with (
        other_optimizer(model, descent, eagerly=chosen_backend().RUNS_EAGERLY),
        chosen_backend().fitting(model, part),
    ):
        set_random_states(model, seed, 0)
        before = values_of(model.trainable_variables)
        try:
            if part is not model:
                part.follow(model)
            logs = fit_plainly(model, part, OneBatch(np.asarray(inputs), targets))
            after = values_of(model.trainable_variables)
        finally:
            restore()
            model.reset_metrics()
    moved = [float(np.linalg.norm(np.asarray(b, np.float64) - a)) for b, a in zip(before, after, strict=True)]
    loss = logs.get("loss")
    return {
        "loss": None if loss is None or not np.isfinite(float(loss)) else float(loss),
        "gradients": [norm if np.isfinite(norm) else None for norm in moved],
    }


class OneBatch(keras.utils.PyDataset):
    """One batch, for a training of a single step."""

    def __init__(self, images: Any, targets: Any) -> None:
        super().__init__()
        self._batch = images, targets

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self._batch


def set_random_states(model: Any, seed: int, epoch: int) -> None:
    """Seed every random layer from (seed, epoch)."""
    states = [variable for variable in model.variables if is_seed_state(variable)]
    for index, state in enumerate(states):
        rng = np.random.default_rng([seed, epoch, index])
        state.assign(rng.integers(0, 2**32, size=2, dtype=np.uint32))
    chosen_backend().seed(int(np.random.default_rng([seed, epoch]).integers(2**63)))


def same_probe(recorded: ProbeRecord, now: ProbeRecord) -> bool:
    """Whether two probes are those of one training, but for rounding."""
    losses = [probe.get("loss") for probe in (recorded, now)]
    norms = [probe.get("gradients", []) for probe in (recorded, now)]
    if len(norms[0]) != len(norms[1]):
        return False
    pairs = [(losses[0], losses[1], _SAME_LOSS), *((a, b, _SAME_GRADIENTS) for a, b in zip(*norms, strict=True))]
    largest = max([abs(norm) for norm in norms[0] if norm is not None], default=0.0)
    return all(_close(a, b, share, floor=1.0 if index == 0 else largest) for index, (a, b, share) in enumerate(pairs))


def _close(a: float | None, b: float | None, share: float, *, floor: float) -> bool:
    if a is None or b is None:
        return a is b
    return abs(a - b) <= share * max(abs(a), abs(b), floor)


def say_unknown(name: str, identity: Identity) -> None:
    """Warn that a training cannot be told from others, so that it is never found again."""
    reasons = "; ".join(f"{part}: {reason}" for part, reason in identity.unknown.items())
    warn(f"run {name!r} is trained anew each time, since it cannot be told from another one ({reasons}).")
