"""Comparison of runs on one test set: table, refusals and reports."""
