"""Rows of a run as a stream: Parquet files in the order of their names, blocks, minibatches.

The rows stand in the order of a hash of their id, so that order is the same however Spark had cut the
data, and any stretch of rows is a fair sample. Blocks have a fixed number of rows and cross file borders;
shuffling happens within a block, by the seed, the epoch and the block's number. Nothing here depends on
the number of files, and memory does not grow with the rows: one block is held, and the next prepared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pr_features.preprocessor import Preprocessor
from pr_features.registry import NAMES
from stage_runtime.exits import UnusableInput

from ml_training.split import SplitPlan

BLOCK_ROWS = 4_096
READ_ROWS = 2_048
KEY_COLUMNS = ("pr_id", "repo_name", "number", "title", "created_at", "split")
TEXT_COLUMNS = ("text_indices", "text_values")
# More would only make each epoch longer: the first ones are a fair sample.
VALIDATION_ROWS = 20_000
# Prepared blocks of a small run are kept between epochs: the same numbers, only sooner.
CACHE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Block:
    """Some consecutive rows: keys as an Arrow table [n rows], matrix [n, D] float32 network input."""

    keys: pa.Table
    values: np.ndarray
    matrix: np.ndarray


class FeatureTable:
    """The feature table of one run.

    n_features: width of the network input (D).
    """

    def __init__(self, files: Sequence[Path], preprocessor: Preprocessor) -> None:
        """files: in the order of their names. Raises UnusableInput where a file is not as agreed."""
        if not files:
            raise UnusableInput("preprocess run: expected features/*.parquet, found none")
        self.files = list(files)
        self.preprocessor = preprocessor
        self.n_features = len(preprocessor.columns)
        self.n_rows = sum(_checked_rows(path) for path in self.files)

    def keys(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Only these columns, in order."""
        return self._batches(columns)

    def blocks(self) -> Iterator[Block]:
        """All rows in blocks of BLOCK_ROWS; the last one may be shorter."""
        columns = [*KEY_COLUMNS, *NAMES, *TEXT_COLUMNS]
        for table in _rebatched(self._batches(columns), BLOCK_ROWS):
            yield self._prepared(table)

    def _batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for path in self.files:
            # Without the buffer that would hold a whole row group: the files are on the local disk.
            with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 16) as file:
                present = set(file.schema_arrow.names)
                wanted = [name for name in columns if name in present]
                # One thread and no read-ahead: the blocks in hand are all the memory this takes.
                yield from file.iter_batches(batch_size=READ_ROWS, columns=wanted, use_threads=False)

    def _prepared(self, table: pa.Table) -> Block:
        values = np.empty((table.num_rows, len(NAMES)), dtype=np.float32)
        for position, name in enumerate(NAMES):
            # A null is a missing value and becomes NaN here, as the preprocessor expects it.
            values[:, position] = table.column(name).to_numpy()
        rows, indices, weights = _sparse_text(table)
        matrix = self.preprocessor.matrix(values, rows, indices, weights)
        keys = table.select([name for name in KEY_COLUMNS if name in table.column_names])
        return Block(keys, values, matrix)


class MinibatchSource:
    """Minibatches of the parts of a table, for the trainer.

    plan says which rows are for fitting and which for validation (both of split ``train``).
    """

    def __init__(
        self,
        table: FeatureTable,
        plan: SplitPlan,
        batch_size: int,
        seed: int,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.table = table
        self.plan = plan
        self.batch_size = batch_size
        self.seed = seed
        self._validation: list[np.ndarray] | None = None
        fits = table.n_rows * table.n_features * 4 <= cache_bytes
        self._cache: dict[str, list[np.ndarray]] | None = {} if fits else None

    def fitting(self, epoch: int) -> Iterator[np.ndarray]:
        """Shuffled minibatches [<= batch_size, D] of the rows to fit; the last may be shorter, none is dropped."""
        waiting = np.empty((0, self.table.n_features), dtype=np.float32)
        for number, rows in enumerate(self._part("fit")):
            order = np.random.default_rng((self.seed, epoch, number)).permutation(len(rows))
            waiting = np.concatenate([waiting, rows[order]])
            full = len(waiting) - len(waiting) % self.batch_size
            for start in range(0, full, self.batch_size):
                yield waiting[start : start + self.batch_size]
            waiting = waiting[full:]
        if len(waiting):
            yield waiting

    def validation(self) -> Iterator[np.ndarray]:
        """The rows that early stopping looks at, in order, in arrays of up to BLOCK_ROWS; kept in memory."""
        if self._validation is None:
            self._validation = _first(self._part("validation"), VALIDATION_ROWS)
        return iter(self._validation)

    def sample(self, rows: int) -> np.ndarray:
        """The first rows to fit [<= rows, D]; the table is in hash order, so they are a fair sample."""
        return np.concatenate(_first(self._part("fit"), rows))

    def _part(self, part: str) -> Iterator[np.ndarray]:
        if self._cache is not None:
            if not self._cache:
                self._cache = {"fit": [], "validation": []}
                for block in self.table.blocks():
                    for name, chosen in self.plan.parts(block.keys).items():
                        self._cache[name].append(block.matrix[chosen])
            return iter(self._cache[part])
        return (block.matrix[self.plan.parts(block.keys)[part]] for block in prefetched(self.table.blocks))


def _first(parts: Iterator[np.ndarray], rows: int) -> list[np.ndarray]:
    """Arrays with the first so many rows; the rest is not read."""
    found: list[np.ndarray] = []
    missing = rows
    for part in parts:
        found.append(part[:missing].copy())
        missing -= len(found[-1])
        if missing <= 0:
            break
    return found


def prefetched(make: Callable[[], Iterator[Block]]) -> Iterator[Block]:
    """The same blocks, the next one prepared in a thread while the caller works on this one."""
    iterator = make()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="blocks") as pool:
        upcoming = pool.submit(next, iterator, None)
        while (block := upcoming.result()) is not None:
            upcoming = pool.submit(next, iterator, None)
            yield block


def _rebatched(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Tables of exactly ``rows`` rows, the last one shorter, whatever the sizes that come in."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        while count + batch.num_rows >= rows:
            needed = rows - count
            yield pa.Table.from_batches([*waiting, batch.slice(0, needed)])
            batch, waiting, count = batch.slice(needed), [], 0
        if batch.num_rows:
            waiting.append(batch)
            count += batch.num_rows
    if waiting:
        yield pa.Table.from_batches(waiting)


def _sparse_text(table: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, column and weight of each text entry, all [m]; an absent list counts as an empty one."""
    indices = table.column("text_indices").combine_chunks()
    weights = table.column("text_values").combine_chunks()
    lengths = indices.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    return (
        np.repeat(np.arange(table.num_rows), lengths),
        indices.flatten().to_numpy(zero_copy_only=False).astype(np.int64),
        weights.flatten().to_numpy(zero_copy_only=False).astype(np.float32),
    )


def _checked_rows(path: Path) -> int:
    """Rows of a file; raises UnusableInput for one that is no Parquet or lacks a column."""
    try:
        with pq.ParquetFile(path) as file:
            found: dict[str, Any] = {field.name: field.type for field in file.schema_arrow}
            rows = int(file.metadata.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise UnusableInput(f"{path.name}: expected a Parquet file, found other content") from error
    required = ("pr_id", "repo_name", "number", "created_at", "split", *NAMES, *TEXT_COLUMNS)
    absent = [name for name in required if name not in found]
    if absent:
        raise UnusableInput(
            f"{path.name}: expected the columns of this version's features, found none called "
            f"{', '.join(absent[:5])}. Run spark_preprocess of the same version."
        )
    return rows
