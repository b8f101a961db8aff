"""The collection of pull requests: asked a few questions first, then read by the connector.

The driver only counts and looks at two ``_id``; the documents go from MongoDB to the executors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pr_features.documents import CONTRACT_FIELDS
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from stage_runtime.exits import ServiceUnreachable, UnusableInput, WrongSettings
from stage_runtime.logs import get_logger

from .settings import Settings

_PACKAGE = "com.mongodb.spark.sql.connector.read.partitioner."
PARTITIONERS = {
    "single": _PACKAGE + "SinglePartitionPartitioner",
    "paginate": _PACKAGE + "PaginateIntoPartitionsPartitioner",
    "paginate-by-size": _PACKAGE + "PaginateBySizePartitioner",
    "sample": _PACKAGE + "SamplePartitioner",
    "auto-bucket": _PACKAGE + "AutoBucketPartitioner",
    "sharded": _PACKAGE + "ShardedPartitioner",
}
_REFUSED = {13, 18, 8000}  # Unauthorized, AuthenticationFailed, Atlas' own


# Look-alikes answer an aggregation in one message, and no message may have more than 48 MB.
_BYTES_AT_ONCE = 16_000_000
_SAMPLE = 100


@dataclass(frozen=True)
class Source:
    """What the server said: how many documents there are, and how they are to be cut.

    parts: into how many, where the partitioner does not decide that itself.
    """

    documents: int
    partitioner: str
    parts: int = 1


def probe(spark: SparkSession, settings: Settings) -> Source:
    """Count the collection and choose a partitioner.

    Raises ServiceUnreachable, WrongSettings (credentials, connection string), UnusableInput (empty).
    """
    name = f"{settings.mongo_db}.{settings.mongo_collection}"
    with _client(spark, settings) as client, _said_plainly(settings):
        collection = client.getDatabase(settings.mongo_db).getCollection(settings.mongo_collection)
        documents = int(collection.countDocuments())
        if documents == 0:
            raise UnusableInput(
                f"The collection {name} is empty, expected pull requests. Run data_fetch first, or correct "
                "MONGO_DB and MONGO_COLLECTION."
            )
        partitioner = _partitioner(spark, collection, settings)
        by_size = -(-documents * _mean_bytes(collection) // _BYTES_AT_ONCE)
        return Source(documents, partitioner, max(by_size, documents // settings.rows_per_partition, 1))


def read_raw(spark: SparkSession, settings: Settings, source: Source) -> DataFrame:
    """Every document as the first column, ``document``, in extended JSON; the others have no values.

    The connector's schema is one that no document fits: no ``_id`` can be an array. So it hands over each
    document whole, as it is, in the column that it has for those that do not fit. Typed columns change
    values without a word instead (10.5.0, mode PERMISSIVE): in one of integers "12" becomes 12, 3.7
    becomes 3, NaN becomes 0 and a date a number. And an aggregation that wraps a document up on the
    server is refused by one look-alike and, by another, takes a text "$title" for the title.

    The fields of the contract are columns of type void: the connector asks the server for the fields
    that its schema names and no others (old collections hold whole patches), and converts nothing.
    """
    options = {
        "connection.uri": _bounded_uri(settings),
        "database": settings.mongo_db,
        "collection": settings.mongo_collection,
        "partitioner": PARTITIONERS[source.partitioner],
        "mode": "PERMISSIVE",
        "columnNameOfCorruptRecord": "document",
    }
    if source.partitioner == "paginate":
        options["partitioner.options.max.number.of.partitions"] = str(source.parts)
    fields = ", ".join(f"{field} void" for field in CONTRACT_FIELDS if field != "_id")
    reader = spark.read.format("mongodb").options(**options)
    return reader.schema(f"document string, _id array<string>, {fields}").load()


def _mean_bytes(collection: Any) -> int:
    """Of the first documents, as JSON, which is somewhat longer than BSON."""
    cursor = collection.find().limit(_SAMPLE).iterator()
    sizes = []
    while cursor.hasNext():
        sizes.append(len(cursor.next().toJson()))
    cursor.close()
    return sum(sizes) // max(len(sizes), 1) + 1


def _partitioner(spark: SparkSession, collection: Any, settings: Settings) -> str:
    chosen = settings.mongo_partitioner
    if chosen == "auto":
        chosen = "auto-bucket" if _has_statistics(spark, collection) else "paginate"
    if chosen != "single" and not _ids_of_one_kind(spark, collection):
        # A range of numbers finds only numbers (type bracketing), so a partitioner that cuts by ranges
        # of _id loses the documents whose _id is of another kind, without a word.
        get_logger().warning(
            "The collection's _id are of several kinds, so it is read in one piece",
            partitioner="single",
            instead_of=chosen,
        )
        chosen = "single"
    return chosen


def _has_statistics(spark: SparkSession, collection: Any) -> bool:
    """Whether the server answers $collStats, which all partitioners but two lean on."""
    stage = _bson(spark, {"$collStats": {"storageStats": {}}})
    stages = spark._jvm.java.util.ArrayList()  # type: ignore[union-attr]
    stages.add(stage)
    try:
        found = collection.aggregate(stages).first()
        return found is not None and found.containsKey("storageStats")
    except Py4JJavaError as error:
        if _java_names(error) & {"com.mongodb.MongoCommandException", "com.mongodb.MongoQueryException"}:
            return False
        raise


def _ids_of_one_kind(spark: SparkSession, collection: Any) -> bool:
    """MongoDB sorts by kind first, so the least and the greatest _id tell about all between them."""
    kinds = set()
    for direction in (1, -1):
        found = collection.find().projection(_bson(spark, {"_id": 1})).sort(_bson(spark, {"_id": direction}))
        value = json.loads(found.first().toJson())["_id"]
        kinds.add("number" if _is_number(value) else next(iter(value)) if isinstance(value, dict) else "text")
    return len(kinds) == 1


def _is_number(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(value.keys() & {"$numberLong", "$numberInt", "$numberDouble", "$numberDecimal"})
    return isinstance(value, (int, float))


def _bson(spark: SparkSession, document: dict[str, Any]) -> Any:
    return spark._jvm.org.bson.Document.parse(json.dumps(document))  # type: ignore[union-attr]


def _bounded_uri(settings: Settings) -> str:
    """The connection string with bounds for finding and reaching a server, where it has none itself."""
    uri = settings.mongo_uri.get_secret_value()
    milliseconds = settings.mongo_timeout_seconds * 1000
    for option in ("serverSelectionTimeoutMS", "connectTimeoutMS"):
        if option.lower() + "=" in uri.lower():
            continue
        rest = uri.partition("://")[2]
        if "?" in rest:
            uri += f"&{option}={milliseconds}"
        else:
            uri += ("" if "/" in rest else "/") + f"?{option}={milliseconds}"
    return uri


@contextmanager
def _client(spark: SparkSession, settings: Settings) -> Iterator[Any]:
    assert spark._jvm is not None
    try:
        client = spark._jvm.com.mongodb.client.MongoClients.create(_bounded_uri(settings))
    except (Py4JJavaError, PySparkException):  # PySpark has a class of its own for an illegal argument
        raise WrongSettings(
            "MONGO_URI: expected a connection string like mongodb://host:27017, found one that the driver "
            "refuses. It is not shown, because it may hold a password."
        ) from None
    try:
        yield client
    finally:
        client.close()


@contextmanager
def _said_plainly(settings: Settings) -> Iterator[None]:
    """Turn the Java driver's exceptions into ours. Its texts may hold the connection string: not shown."""
    try:
        yield
    except Py4JJavaError as error:
        names = _java_names(error)
        if "com.mongodb.MongoSecurityException" in names or _code(error) in _REFUSED:
            raise WrongSettings(
                f"MongoDB refused the credentials of MONGO_URI for database {settings.mongo_db}. "
                "Correct the user, the password or the user's roles."
            ) from None
        if "com.mongodb.MongoException" in names:
            raise ServiceUnreachable(
                f"MongoDB did not answer within {settings.mongo_timeout_seconds} s ({_short(error)}). Check "
                "that it runs and that MONGO_URI is right, then run again."
            ) from None
        raise


def _java_names(error: Py4JJavaError) -> set[str]:
    """The class of the Java exception and those it extends."""
    names = set()
    kind = error.java_exception.getClass()
    while kind is not None:
        names.add(str(kind.getName()))
        kind = kind.getSuperclass()
    return names


def _code(error: Py4JJavaError) -> int | None:
    if "com.mongodb.MongoException" not in _java_names(error):
        return None
    return int(error.java_exception.getCode())


def _short(error: Py4JJavaError) -> str:
    return str(error.java_exception.getClass().getSimpleName())
