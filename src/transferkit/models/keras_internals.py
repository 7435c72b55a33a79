"""Everything of Keras that transferkit uses and Keras does not document.

After an upgrade of Keras, ``tests/models/test_keras_internals.py`` says what of it changed.
"""

from typing import Any


def forget_losses(model: Any) -> None:
    """Forget what the layers of a model added to its loss in the last call."""
    model._clear_losses()
