"""Apache Arrow, which reads and writes Parquet; an extra."""

from typing import Any

from transferkit.errors import MissingDependencyError


def load_pyarrow() -> Any:
    """Return pyarrow with its compute functions.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.compute
    except ImportError:
        raise MissingDependencyError("Parquet needs the package pyarrow: pip install 'transferkit[parquet]'.") from None
    return pa
