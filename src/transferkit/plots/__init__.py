"""Pictures of runs and data; matplotlib is imported when one is drawn."""
