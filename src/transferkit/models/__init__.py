"""Builders that return a compiled keras.Model on raw uint8 images."""
