"""Run: the record of one training, its metrics, saving and loading."""
