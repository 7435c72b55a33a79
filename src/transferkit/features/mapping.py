"""FeatureMapper: the frozen part of a model as a function from tables to tables, for Ray Data and Spark."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from transferkit.data.decoding import Fit
from transferkit.data.folders import FITS, check_choice
from transferkit.errors import DataError, list_some
from transferkit.features.arrow import load_pyarrow
from transferkit.features.feature_file import FEATURES, feature_column
from transferkit.features.portable import pack_network
from transferkit.features.shard_work import decoding_for, features_of, piece_size
from transferkit.features.shards import Columns, split_table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class FeatureMapper:
    """Features of the images in a table, in engines that hand out the rows themselves.

    A thin layer over what `extract_features` does, with the same features bit for bit; but the engine keeps the result, so nothing is
    found again. It travels to workers with the converted layers in it, and where LiteRT runs them, workers import no TensorFlow.

    Parameters
    ----------
    model : keras.Model
        Its first layers are frozen, and it takes uint8 images of one size.
    key, image, columns, fit, engine
        See `extract_features`.

    Raises
    ------
    InvalidInputError
        If nothing is frozen from the input on, or the model takes images of any size.
    MissingDependencyError
        If pyarrow is not installed.

    Notes
    -----
    An image that cannot be read is an error; leave such rows out first.

    In Ray Data::

        mapper = tk.FeatureMapper(model)
        ray.data.read_parquet("photos").map_batches(mapper, batch_format="pyarrow").write_parquet("features")

    In Spark, as a function of data frames of pandas::

        photos = spark.read.parquet("photos")
        photos.mapInPandas(mapper.map_in_pandas, mapper.spark_schema).write.parquet("features")

    Examples
    --------
    >>> import io
    >>> import keras
    >>> import pandas as pd
    >>> import transferkit as tk
    >>> from PIL import Image
    >>> stream = io.BytesIO()
    >>> Image.new("RGB", (40, 30), "navy").save(stream, "PNG")
    >>> photos = pd.DataFrame({"key": ["a", "b"], "image": [stream.getvalue()] * 2})
    >>> cnn = tk.build_cnn((32, 32, 3), preset="modern", filters=(8, 16))
    >>> backbone = keras.Model(cnn.inputs, cnn.get_layer("pool").output)
    >>> mapper = tk.FeatureMapper(tk.build_transfer_model(backbone, freeze=True, input_shape=(32, 32, 3)))
    >>> (features,) = mapper.map_in_pandas([photos])
    >>> features["key"].tolist(), len(features["features"][0])
    (['a', 'b'], 16)
    """

    def __init__(
        self,
        model: Any,
        *,
        key: str = "key",
        image: str = "image",
        columns: Sequence[str] = (),
        fit: Fit = "stretch",
        engine: Any = "auto",
    ) -> None:
        from transferkit.features.prefix import frozen_part  # workers import no Keras

        load_pyarrow()
        self._columns = Columns(key, image, tuple(columns))
        self._network = pack_network(frozen_part(model), engine=engine)
        self._decoding = decoding_for(self._network, check_choice("fit", fit, FITS))

    def __call__(self, table: "pa.Table") -> "pa.Table":
        """Return the columns ``key``, those of `columns`, and ``features``, for a table or a batch of Arrow.

        Raises
        ------
        DataError
            If an image cannot be read, or a key is missing.
        UnknownNameError
            If there is no such column.
        """
        pa = load_pyarrow()
        piece = split_table(table, self._columns, "the table")
        size, parts = piece_size(self._network), []
        skipped: dict[str, str] = {}
        for start in range(0, max(1, len(piece.contents)), size):
            part = type(piece)(piece.table.slice(start, size), piece.contents[start : start + size])
            keys, features = features_of(part, self._network, self._decoding, skipped)
            parts.append(keys.append_column(FEATURES, feature_column(features)))
        if skipped:
            listed = list_some((f"{name}: {reason}" for name, reason in skipped.items()), separator="; ", most=5)
            raise DataError(f"{len(skipped)} images cannot be read ({listed}). Repair them, or leave these rows out.")
        return pa.concat_tables(parts)

    def map_in_pandas(self, frames: "Iterable[pd.DataFrame]") -> "Iterator[pd.DataFrame]":
        """Return the result for each data frame, as ``DataFrame.mapInPandas`` of Spark wants it.

        Parameters
        ----------
        frames : iterable of DataFrame
            With the columns of the keys and of the images.

        Returns
        -------
        iterator of DataFrame
            Columns ``key``, those of `columns`, and ``features``, lists of float32.
        """
        pa = load_pyarrow()
        for frame in frames:
            features = self(pa.Table.from_pandas(frame, preserve_index=False))
            yield features.combine_chunks().to_pandas()  # Spark takes columns of one piece

    @property
    def spark_schema(self) -> str:
        """The schema of `map_in_pandas` where keys are strings and nothing goes along; else write it in the same way."""
        return "key string, features array<float>"
