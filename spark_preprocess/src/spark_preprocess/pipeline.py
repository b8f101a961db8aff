"""From the collection to a published run, step by step. The only place that knows all steps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from pr_features.preprocessor import Preprocessor
from pr_features.profile import CorpusProfile
from pyspark import StorageLevel
from pyspark.sql import DataFrame, Row, SparkSession, Window
from pyspark.sql import functions as f
from stage_runtime.exits import ServiceUnreachable, UnusableInput
from stage_runtime.logs import get_logger

from . import __version__, history
from .arrow_map import map_in_arrow
from .checking import CHECKED, check_batches
from .feature_rows import COLUMNS, SCHEMA, feature_rows, in_order, order_key
from .frequencies import document_frequencies
from .mongodb import probe, read_raw
from .publication import NotPublished, RunFolder, schema_hash
from .settings import Settings
from .split import LATER, TRAIN, with_split
from .statistics import Statistics, check_ranges, statistics

_NARROW = ("pr_id", "repo_key", "author", "created", "merged", "month", "bins")
_WATERMARK = ("updated_at", "fetched_at")
_ISO = "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"
_REASONS_TOLD = 10
_EARLIER_STAYS = "pr_id: expected one document a pull request, found an older copy of another document"


@dataclass(frozen=True)
class Counts:
    """What became of the documents; documents = rows + rejected."""

    documents: int
    rows: int
    rejected: int
    train: int = 0
    later: int = 0
    repositories: int = 0
    authors: int = 0
    evaluation_documents: int = 0


def run(spark: SparkSession, settings: Settings, folder: RunFolder) -> dict[str, Any]:
    """Make the run and publish it; the manifest. Raises StageError of the kind that fits."""
    folder.prepare()
    source = probe(spark, settings)
    partitions = max(1, -(-source.documents // settings.rows_per_partition))
    spark.conf.set("spark.sql.shuffle.partitions", str(partitions))

    with _step("read", documents=source.documents, partitioner=source.partitioner):
        checked = _kept(_checked(read_raw(spark, settings, source), partitions))
        checked, counts, watermark = _one_each(checked)
    if counts.rejected:
        with _step("rejected", documents=counts.rejected):
            _tell_reasons(checked)
            files = -(-counts.rejected // settings.rows_per_partition)
            folder.write_lines(_rejected(checked, files), "rejected")
    _judge(counts, source.documents, settings)

    pulls = checked.where("reason IS NULL")
    with _step("history"):
        # Each of these is read several times by the next; none but the first reads the documents.
        split = _kept(with_split(_kept(pulls.select(*_NARROW))))
        known = _kept(history.with_author_history(split))
        state = history.author_state(split)
        folder.write_parquet(_few_files(state, counts.rows), "history/authors")
        norms = _kept(history.monthly_norms(known))
        folder.write_parquet(_few_files(history.repository_state(norms), counts.rows), "history/repositories")
    documents = _with_history(pulls, known, norms, partitions)

    with _step("frequencies"):
        train = documents.where(f.col("split") == TRAIN)
        trained_on = known.where(f.col("split") == TRAIN).count()
        profile = CorpusProfile.build(trained_on, document_frequencies(train))
    with _step("features", terms=len(profile.terms)):
        folder.write_parquet(in_order(feature_rows(documents, profile), partitions), "features")
    with _step("evaluation"):
        kept = _evaluation(pulls, known, settings.evaluation_documents)
        folder.write_one_file(kept, "evaluation/documents.jsonl.gz")

    with _step("statistics"):
        written = spark.read.schema(SCHEMA).parquet(folder.storage.at("features"))
        found = statistics(written)
        counts = _counted(counts, known, found, settings)
        check_ranges(found)
        preprocessor = Preprocessor(profile, found.mean, found.std, found.missing)
        folder.storage.write_json("preprocessor.json", preprocessor.to_json())
    with _step("publish"):
        return folder.publish(
            {
                "code_version": settings.build_commit or __version__,
                **asdict(counts),
                "features": len(preprocessor.columns),
                "source": {
                    "database": settings.mongo_db,
                    "collection": settings.mongo_collection,
                    "watermark": watermark,
                },
                "columns": COLUMNS,
                "schema_hash": schema_hash(COLUMNS),
                "preprocessor_hash": preprocessor.hash,
                "files": folder.files(),
            }
        )


def _checked(raw: DataFrame, partitions: int) -> DataFrame:
    """Rows of CHECKED, those of one pull request in one partition, where later joins look for them."""
    return map_in_arrow(raw, check_batches, CHECKED).repartition(partitions, "pr_id")


def _kept(frame: DataFrame) -> DataFrame:
    """Computed once, on the executors' disks. What is lost with an executor fails the job: computing it
    again would read a collection that has moved on.
    """
    return frame.localCheckpoint(eager=True, storageLevel=StorageLevel.DISK_ONLY)


def _one_each(checked: DataFrame) -> tuple[DataFrame, Counts, dict[str, str | None]]:
    """Of several documents of one pull request (collections of before the contract) the newest stays.

    With the counts, and the newest change and the newest fetch among the usable documents.
    """
    totals = _totals(checked)
    if totals["usable"] != totals["pulls"]:
        newest_first = Window.partitionBy("pr_id").orderBy(
            f.col("updated_at").desc_nulls_last(), f.col("fetched_at").desc_nulls_last(), f.desc("document")
        )
        older = (f.row_number().over(newest_first) > 1) & f.col("reason").isNull()
        checked = _kept(
            checked.withColumn("older", older)
            .withColumn("reason", f.when(f.col("older"), _EARLIER_STAYS).otherwise(f.col("reason")))
            .withColumn("raw", f.when(f.col("older"), f.col("document")).otherwise(f.col("raw")))
            .drop("older")
        )
        totals = _totals(checked)
    counts = Counts(totals["documents"], totals["usable"], totals["documents"] - totals["usable"])
    return checked, counts, {name: totals[name] for name in _WATERMARK}


def _totals(checked: DataFrame) -> Row:
    usable = f.col("reason").isNull()
    newest = (f.timestamp_millis(f.max(f.when(usable, f.col(name)))) for name in _WATERMARK)
    found = checked.agg(
        f.count(f.lit(1)).alias("documents"),
        f.count_if(usable).alias("usable"),
        f.count_distinct("pr_id").alias("pulls"),
        *(f.date_format(at, _ISO).alias(name) for name, at in zip(_WATERMARK, newest, strict=True)),
    ).first()
    assert found is not None
    return found


def _tell_reasons(checked: DataFrame) -> None:
    """The most frequent reasons in the log, where a failed run leaves nothing else."""
    reasons = checked.where("reason IS NOT NULL").groupBy("reason").count()
    for row in reasons.orderBy(f.desc("count"), "reason").limit(_REASONS_TOLD).collect():
        get_logger().warning("rejected documents", reason=row["reason"], documents=row["count"])


def _judge(counts: Counts, expected: int, settings: Settings) -> None:
    if counts.documents < expected:
        raise ServiceUnreachable(
            f"Expected the {expected} documents that MongoDB counted, read {counts.documents}: documents were "
            "deleted meanwhile, or MONGO_PARTITIONER cuts this collection wrongly. Run again, or set "
            "MONGO_PARTITIONER=single."
        )
    share = counts.rejected / counts.documents
    if counts.rows == 0 or share > settings.max_rejected_share:
        raise UnusableInput(
            f"{counts.rejected} of {counts.documents} documents of {settings.mongo_db}."
            f"{settings.mongo_collection} are unusable, expected a share of at most "
            f"{settings.max_rejected_share:g} (MAX_REJECTED_SHARE), found {share:.3g}. The reasons are logged "
            "above; correct the documents, or fetch them again."
        )


def _rejected(checked: DataFrame, files: int) -> DataFrame:
    """Lines of {reason, document}: document is the extended JSON that was read, as text.

    In order over all files, so that the same documents give the same lines wherever Spark cuts them; no task holds
    more than a share of them, which matters where most of a large collection is unusable.
    """
    bad = checked.where("reason IS NOT NULL")
    lines = bad.select(f.to_json(f.struct("reason", f.col("raw").alias("document"))).alias("value"))
    return lines.repartitionByRange(files, "value").sortWithinPartitions("value")


def _with_history(pulls: DataFrame, known: DataFrame, norms: DataFrame, partitions: int) -> DataFrame:
    before = norms.select("repo_key", "month", f.col("before").alias("norms"))
    facts = known.join(before, ["repo_key", "month"], "left").select(
        "pr_id", "split", "author_opened", "author_merged", "author_day", "norms"
    )
    # The documents lie where their pr_id belongs already; only the narrow side moves.
    return pulls.join(facts.repartition(partitions, "pr_id").hint("shuffle_hash"), "pr_id", "inner")


def _few_files(rows: DataFrame, count: int) -> DataFrame:
    return rows.coalesce(max(1, count // 250_000))


def _evaluation(pulls: DataFrame, known: DataFrame, wanted: int) -> DataFrame:
    """Lines of JSON: the first ``wanted`` documents of split later in the feature table's order."""
    chosen = known.where(f.col("split") == LATER).select("pr_id", order_key().alias("place"))
    chosen = chosen.orderBy("place", "pr_id").limit(wanted)
    found = pulls.select("pr_id", "document").join(f.broadcast(chosen), "pr_id")
    lines = found.repartitionByRange(1, "place").sortWithinPartitions("place", "pr_id")
    return lines.select(f.col("document").alias("value"))


def _counted(counts: Counts, known: DataFrame, found: Statistics, settings: Settings) -> Counts:
    """Counts of the rows that were written, held against those that were read."""
    if found.rows != counts.rows:
        raise NotPublished(
            f"Expected {counts.rows} feature rows, found {found.rows} written. Nothing was published; run again."
        )
    totals = known.agg(
        f.count_distinct("repo_key").alias("repositories"),
        f.count_distinct("repo_key", "author").alias("authors"),
    ).first()
    assert totals is not None
    later = found.rows - found.train_rows
    return replace(
        counts,
        train=found.train_rows,
        later=later,
        repositories=totals["repositories"],
        authors=totals["authors"],
        evaluation_documents=min(later, settings.evaluation_documents),
    )


@contextmanager
def _step(name: str, **values: object) -> Iterator[None]:
    start = time.monotonic()
    yield
    get_logger().info(name, seconds=round(time.monotonic() - start, 1), **values)
