"""The frozen part of a model: find it, run it fast, keep its output."""
