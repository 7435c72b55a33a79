"""How long a pretrained network learns where the caller does not say: counted in steps, since few images make few steps an epoch."""

MANY_EPOCHS = 100
_BATCH_SIZES = ((320, 16), (4_000, 32))  # below so many images; fewer images need smaller batches to make enough steps
_LARGE_BATCH = 64
_MANY_IMAGES, _ACCELERATED_BATCH = 10_000, 256  # an accelerator waits for smaller batches
_FEWEST_EPOCHS, _USUAL_EPOCHS, _IMAGES_SEEN = 5, 15, 15_000
_LEAST_STEPS, _LEAST_HEAD_STEPS, _LEAST_FROZEN_STEPS = 100, 100, 300
_MOST_HEAD_EPOCHS, _FROZEN_EPOCHS = 20, (10, 60)
WARMUP_SHARE = 0.1
FEW_IMAGES = 4_000  # below, a pretrained BatchNorm knows more than small batches do, and the head is fitted exactly
USUAL_RATE, GENTLE_RATE = (
    1e-3,
    3e-4,
)  # the second where BatchNorm does not adapt, and large steps would undo pretraining


def steps_an_epoch(images: int, batch_size: int) -> int:
    """Return the number of batches; a single image left over joins the batch before it."""
    full, rest = divmod(images, batch_size)
    return max(1, full + (rest > 1))


def choose_batch_size(images: int) -> int:
    """Return 16 below 320 training images, 32 below 4,000, 64 from there on."""
    return next((size for limit, size in _BATCH_SIZES if images < limit), _LARGE_BATCH)


def choose_batch_size_on(accelerator: str | None, images: int) -> int:
    """Return 256 on an accelerator from 10,000 training images on, otherwise as `choose_batch_size`."""
    return _ACCELERATED_BATCH if accelerator and images >= _MANY_IMAGES else choose_batch_size(images)


def choose_epochs(images: int, batch_size: int) -> int:
    """Return the epochs of fine-tuning: 15, fewer from 1,000 images on, 5 from 3,000 on, and always 100 steps or 100 epochs."""
    seen = min(_USUAL_EPOCHS, round(_IMAGES_SEEN / images))
    return min(MANY_EPOCHS, max(_FEWEST_EPOCHS, seen, _epochs_for(_LEAST_STEPS, images, batch_size)))


def choose_head_epochs(images: int, batch_size: int) -> int:
    """Return the epochs in which the head alone trains: 100 steps, in at most 20 epochs."""
    return min(_MOST_HEAD_EPOCHS, _epochs_for(_LEAST_HEAD_STEPS, images, batch_size))


def choose_frozen_epochs(images: int, batch_size: int) -> int:
    """Return the epochs of a new head on a backbone that stays frozen: 300 steps, in 10 to 60 epochs."""
    fewest, most = _FROZEN_EPOCHS
    return min(most, max(fewest, _epochs_for(_LEAST_FROZEN_STEPS, images, batch_size)))


def least_steps(*, unfrozen: bool) -> int:
    """Return below how many steps a training is short: 100 for a pretrained network that is unfrozen, 300 for a head or from nothing."""
    return _LEAST_STEPS if unfrozen else _LEAST_FROZEN_STEPS


def _epochs_for(steps: int, images: int, batch_size: int) -> int:
    return -(-steps // steps_an_epoch(images, batch_size))
