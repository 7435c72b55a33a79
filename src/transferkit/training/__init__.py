"""Training and evaluation: Keras fits, transferkit keeps the record."""
