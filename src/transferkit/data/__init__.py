"""Datasets: arrays, MNIST files and image folders, checked and split."""
