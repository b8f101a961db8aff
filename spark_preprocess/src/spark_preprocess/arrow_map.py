"""``mapInArrow`` without pandas.

PySpark's own refuses to start without pandas, which neither it nor the worker then uses for Arrow
batches (4.3.0: only ``pandas_udf``, through which it goes, asks for it). Leaving pandas out saves some 70 MB of
image and its import in every worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType
from pyspark.sql.udf import UserDefinedFunction
from pyspark.util import PythonEvalType

BatchFunction = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def map_in_arrow(frame: DataFrame, function: BatchFunction, schema: StructType | str) -> DataFrame:
    """Each partition's batches through ``function``; the rows that it yields have ``schema``."""
    udf = UserDefinedFunction(function, schema, evalType=PythonEvalType.SQL_MAP_ARROW_ITER_UDF)
    call = udf(*(frame[column] for column in frame.columns))
    return DataFrame(frame._jdf.mapInArrow(call._jc, False, None), frame.sparkSession)
