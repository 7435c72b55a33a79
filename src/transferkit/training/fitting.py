"""train and fine_tune: Keras's fit underneath, a Run as the result."""

from typing import Any

from typing_extensions import Unpack

from transferkit.data.dataset import Dataset
from transferkit.errors import UnknownNameError
from transferkit.models.freezing import find_backbone, upper_layers
from transferkit.runs.run import Run
from transferkit.training.classifier import fit_classifier, is_classifier
from transferkit.training.logistic_head import fit_head
from transferkit.training.options import (
    FineTuneOptions,
    FineTuneRecipe,
    Fitting,
    HeadRecipe,
    TrainOptions,
    TrainRecipe,
    options_for,
    recipe_from,
    takes,
)
from transferkit.training.steps import fit_steps


@takes(TrainRecipe)
def train(model: Any, data: Dataset, **options: Unpack[TrainOptions]) -> Run:
    """Train what is trainable in a compiled model and record everything about it.

    Keras's ``fit`` does the work, with the optimiser and loss that the model is compiled with. The epoch with the highest
    validation accuracy counts; without a validation split (``validation=0``) it is the last one, and nothing is chosen.
    The test split is predicted once, at the end. The model keeps the weights that the run reports.

    A scikit-learn classifier (from `build_baseline`, or any that takes raw images and has ``predict_proba``) is fitted instead,
    with ``random_state`` set to `seed` in all its steps, and recorded in the same way; see Notes.

    Parameters
    ----------
    model : keras.Model or scikit-learn classifier
        A compiled classifier on raw uint8 pixels with softmax output, from `build_cnn`, `build_transfer_model`,
        `build_baseline` or your own.
    data : Dataset
        Its training split trains, its validation split chooses, its test split is measured.
    epochs : int or "auto", optional
        Passes over the training images. ``"auto"``, for a network that is pretrained or partly frozen, chooses them, and what
        else is None, from the number of training images: 300 steps for a head on a frozen backbone, in 10 to 60 epochs, otherwise as
        in `fine_tune`. The run records what it became. None means ``"auto"`` for such a network, and 10 for one that learns from nothing.
    seed : int, default 0
        Draws order, augmentation and dropout. Initial weights have the `seed` of the model's builder.
    name : str, optional
        What tables and plots call the run; the model's name if None.
    batch_size : int or "auto", optional
        Images in a step; 64 if None, and where epochs are chosen 16 below 320 training images, 32 below 4,000, 64 above. ``"auto"``
        is those as well, but 256 on an accelerator from 10,000 images on, and half of it, with a warning, if a step does not fit into its
        memory. The run records what it became.
    learning_rate : float, optional
        Peak step size; the one that the model is compiled with if None.
    schedule : {"constant", "cosine"}, default "constant"
        Whether the rate stays or falls to zero along a half cosine (Loshchilov & Hutter 2017, doi:10.48550/arXiv.1608.03983).
    warmup_epochs : float, optional
        Epochs, or a part of one, over which the rate rises linearly from zero; needs ``schedule="cosine"``. 0 if None, and with
        a cosine a tenth of all epochs where those are chosen.
    augment : str or iterable of str, default ()
        What is done to training images, differently in each epoch: ``"flip"`` (left to right), ``"shift"`` (up to 1/14 of the
        size: 2 px of 28), ``"crop"`` (50 to 100% of the area, 3:4 to 4:3), ``"rotate"`` (up to 15 degrees), ``"zoom"`` (up to a
        fifth), ``"colour"`` (brightness and contrast, up to 20%), ``"erase"`` (a rectangle of 2 to 20% of the area, in every other
        image). Presets: ``"photo"`` (flip, crop, colour), ``"centred"`` (shift, rotate, zoom), ``"garment"`` (flip, shift). They
        follow from `seed` and epoch alone, on every backend. A frozen backbone is asked about 4 fixed views of each image.
        ``"mixup"`` blends each image of a batch with another one, in shares from Beta(0.2, 0.2) (Zhang et al. 2018), ``"cutmix"`` pastes
        a rectangle of another one into it, with a share from Beta(1, 1) (Yun et al. 2019); of both, one is drawn for each batch. The
        target is mixed in the same shares, so the loss must be cross-entropy, and training metrics compare with it: accuracy with
        its larger part. Frozen layers have to run in every step then: pass ``engine="plain"``.
    label_smoothing : float, default 0
        Share of each target spread evenly over all classes, from 0 to below 1 (Szegedy et al. 2016, section 7).
    class_weight : "balanced" or dict, optional
        How much each class counts in the loss. ``"balanced"`` gives every class the same weight in all, however many training
        images it has: images / (classes x images of the class), as scikit-learn does. A dict maps class names or indices to
        numbers; classes left out count 1. Validation is not weighted.
    early_stopping : int, optional
        End a phase after so many epochs without a lower validation loss (Prechelt 1998). It needs a validation split, and uses it
        once more, beside choosing the epoch that counts: what is stopped where validation looked best looks better there than it
        is, so only the test split tells. With a cosine the rate has not fallen by then.
    average_weights : float, optional
        Validate, and end with, a moving average of the weights with this momentum (Polyak & Juditsky 1992): 0.99 averages over about
        100 steps. Keras's ``use_ema``.
    matmul_precision : {"float32", "bfloat16", "auto"}, default "float32"
        What convolutions round their factors and results to; sums, weights, everything else, and the test's
        prediction stay in float32. ``"bfloat16"`` (8 significant bits; Kalamkar et al. 2019, doi:10.48550/arXiv.1905.12322) shortens a step by a
        fifth to a half on a CPU that multiplies it, with AMX or AVX-512 BF16, and takes longer than float32 on one that does not;
        ``"auto"`` is that where the processor does. On JAX and PyTorch it is their own setting of that name, and ``"auto"`` is
        ``"float32"``. The run records it if it is not ``"float32"``.
    head : {"gradient", "logistic"}, default "gradient"
        ``"logistic"``: not steps of an optimiser, but the exact optimum of the softmax layer on a frozen backbone, by
        L-BFGS (scikit-learn), with the L2 penalty that has the best validation log-loss; the history then has one row for
        each penalty tried. Options of stepwise training (`learning_rate`, `schedule`, `augment`, `label_smoothing`,
        `callbacks`) are refused, `epochs` and `batch_size` have no meaning. Features of up to 1 GB are standardised in memory,
        larger ones on disk.
    engine : {"auto", "litert", "keras", "plain"}, default "auto"
        What computes the layers that are frozen from the input on, once for each image and kept on disk: LiteRT with
        XNNPACK on a CPU, Keras on an accelerator. ``"plain"`` computes them in every step, with the same result.
    callbacks : sequence of keras.callbacks.Callback, optional
        Passed on to ``fit``.
    folder : path, optional
        Save the run as ``folder/<name>`` and a checkpoint after each epoch: the same call finds a finished run again
        instead of training, and goes on where a killed one stopped.
    save_as : str, optional
        Save as ``folder/<save_as>`` instead, for instance to keep several seeds of one name apart.
    tuning_trials : int, default 1
        How many settings were tried on validation before these were chosen, these included. It changes nothing but the record:
        a winner among many looks better than it is, so comparisons show it.
    overwrite : bool, default False
        Whether a finished run of other settings under that name is replaced; otherwise it is an error.
    verbose : bool, default True
        Whether progress is shown: a live bar on a terminal and in a notebook, and a line an epoch; before them one line if the training
        takes few steps (fewer than 300, or 100 where a pretrained network is unfrozen).

    Returns
    -------
    Run
        ``run.metrics`` holds the test results. ``run.status`` is ``"diverged"`` if the loss became NaN or infinite:
        then there are no results, and the model has the weights of the best epoch by validation, or those it started with.

    Raises
    ------
    InvalidInputError
        If an option is out of its range or the model is not compiled.
    DataError
        If the images or classes do not fit the model.
    RunError
        If `folder` holds a finished run of that name with other settings.

    Notes
    -----
    Of a scikit-learn classifier the record holds everything but the fitted model itself, which could only be pickled, and a
    pickle runs code when it is read. A finished run that is found again leaves the classifier unfitted for that reason; its
    recipe and ``model_info["estimator"]`` say how to fit it again. Its ``selection`` is ``"none"``, since no epoch is chosen;
    the validation split is predicted, not used. Options of stepwise training (`epochs`, `batch_size`, `learning_rate`,
    `augment`, ...) are refused.

    Examples
    --------
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> tk.train(tk.build_cnn(), data, epochs=2, name="CNN", verbose=False)
    Run('CNN', completed, accuracy=0..., loss=..., 2 epochs, seed 0)
    """
    if is_classifier(model):
        return fit_classifier(model, data, **options_for(Fitting, options, what="with a scikit-learn classifier"))
    if options.get("head", "gradient") not in ("gradient", "logistic"):
        raise UnknownNameError("head", options["head"], ("gradient", "logistic"))
    if options.get("head") == "logistic":
        known = options_for(HeadRecipe, options, what="with head='logistic'", ignored=("head", "epochs", "batch_size"))
        return fit_head(model, data, **known)
    return fit_steps(model, data, recipe_from(TrainRecipe, options))


@takes(FineTuneRecipe)
def fine_tune(model: Any, data: Dataset, **options: Unpack[FineTuneOptions]) -> Run:
    """Train the head of a pretrained model first, then the unfrozen model at a smaller rate.

    A new head sends large random gradients into the backbone; training it first keeps them from destroying what
    pretraining learned (Kumar et al. 2022, doi:10.48550/arXiv.2202.10054). Both phases stand in one history.

    Parameters
    ----------
    model : keras.Model
        From `build_transfer_model`, or with one nested network as its backbone.
    data : Dataset
        See `train`.
    head_epochs : int, optional
        Epochs with the backbone frozen; 0 leaves the phase out. 1 if None, and with ``epochs="auto"`` as many as make 100
        steps, at most 20, where `head` is not ``"logistic"``.
    epochs : int or "auto", default "auto"
        Epochs with the backbone unfrozen. ``"auto"`` chooses them, and what else is None or ``"auto"``, from the number of training
        images: 15, fewer from 1,000 images on, 5 from 3,000 on, and always at least 100 steps (but no more than 100 epochs);
        below 4,000 images the head is fitted exactly and BatchNorm stays as it is, which a few images cannot spoil. The run
        records what it became. ``benchmarks/own_photographs.py`` measures it.
    unfreeze_from : str, optional
        Name of the first backbone layer that trains in the second phase; all of them if None.
    unfreeze_last : int, optional
        How many blocks of the backbone train in the second phase, counted from its output, instead; see `unfreeze`.
    layer_decay : float, optional
        In the second phase, the last block of the backbone learns at this part of `learning_rate`, each block before it at this
        part of the rate of the one after it, the head at the whole rate; 0.65 to 0.95 is usual. Lower layers, which are the most
        general, change least (Howard & Ruder 2018, doi:10.18653/v1/P18-1031, section 3.2). In a network of more than 12 blocks the
        lowest learns at the part that it would have with 12 (as in Liu et al. 2022). Steps and weight decay are scaled, not gradients.
    batch_norm : bool, optional
        Whether the backbone's batch normalisation trains in the second phase. True if None, but False with ``epochs="auto"`` and
        fewer than 4,000 images. See the Notes of `freeze`.
    seed, name, batch_size
        See `train`.
    head_learning_rate : float, default 3e-3
        Constant step size of the head phase.
    learning_rate : float, "auto" or None, default "auto"
        Peak step size of the second phase. ``"auto"`` is 1e-3, and 3e-4 where batch normalisation does not train; None is the
        optimiser's own.
    schedule : {"cosine", "constant"}, default "cosine"
        Of the second phase.
    warmup_epochs : float, optional
        Linear rise at the start of the second phase. Half an epoch if None, a tenth of the epochs with ``epochs="auto"``.
    augment : str or iterable of str, default "auto"
        See `train`. ``"auto"`` is ``"centred"``, small shifts, rotations and zooms, with ``epochs="auto"``, and nothing otherwise.
        Pass None for none at all. The head phase, which runs on kept features, leaves ``"mixup"`` and ``"cutmix"`` out.
    label_smoothing, class_weight, early_stopping, average_weights, matmul_precision
        See `train`.
    head : {"logistic", "gradient"}, optional
        How the head learns: exactly, as in `fit_head`, or in steps. Exactly if None, ``epochs="auto"``, there are fewer than
        4,000 images and the head is one softmax layer; in steps otherwise.
    engine, callbacks, folder, save_as, tuning_trials, overwrite, verbose
        See `train`.

    Returns
    -------
    Run
        With the phases ``"head"`` and ``"all"`` (``"upper layers"`` if `unfreeze_from` or `unfreeze_last` is given).

    Raises
    ------
    InvalidInputError, DataError, RunError
        See `train`; also if the backbone has fewer blocks than `unfreeze_last`, or no backbone can be told apart.
    UnknownNameError
        If the backbone has no layer `unfreeze_from`; the message lists close matches.

    Examples
    --------
    A small network of one's own as the backbone; ``tk.build_transfer_model("mobilenet")`` works in the same way.

    >>> import keras
    >>> import transferkit as tk
    >>> data = tk.load_fashion_mnist(labels_per_class=10, validation=100)
    >>> trained = tk.build_cnn(preset="modern", filters=(8, 16))
    >>> backbone = keras.Model(trained.inputs, trained.get_layer("pool").output)
    >>> model = tk.build_transfer_model(backbone)
    >>> run = tk.fine_tune(model, data, epochs=1, augment="flip", label_smoothing=0.1, verbose=False)
    >>> run.history_frame()["phase"].tolist()
    ['head', 'all']
    """
    recipe = recipe_from(FineTuneRecipe, options)
    if hasattr(model, "layers"):
        backbone = find_backbone(model)  # raises if there is none
        if recipe.unfreeze_from is not None or recipe.unfreeze_last is not None:
            upper_layers(backbone, recipe.unfreeze_from, recipe.unfreeze_last)
    return fit_steps(model, data, recipe)
