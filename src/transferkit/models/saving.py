"""Rebuild a saved model from plain files."""
