"""The levels that every test and interval here goes by."""

from typing import Final

CONFIDENCE: Final = 0.95
LEVEL: Final = 0.05  # 1 - CONFIDENCE is a little more
POWER: Final = 0.8
NO_VARIANCE: Final = 1e-24
"""A variance below is rounding and nothing else."""
