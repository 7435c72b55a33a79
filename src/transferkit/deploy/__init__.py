"""Using a trained model: named predictions, and files for other programs."""
