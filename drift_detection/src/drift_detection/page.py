"""The page for people: Evidently's drift report on a bounded sample of both sides, one file without outside assets.

It explains and decides nothing: its own tests know other limits. Rows hold numbers only, no text of a pull request.
"""

from __future__ import annotations

import io
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from stage_runtime.exits import UnusableInput

from drift_detection.reference import Reference
from drift_detection.store import Store
from drift_detection.window import Window

SCORE_COLUMN = "reconstruction_error"
# Pages are always the same for the same rows.
SEED = 0


class NoReferenceRows(UnusableInput):
    """There are no rows to show as the reference; the verdict does not need them."""


def make_page(
    window: Window, reference: Reference, rows: np.ndarray, *, most_rows: int, facts: Mapping[str, str]
) -> bytes:
    """HTML of at most ``most_rows`` rows of each side. rows [n, features]: the reference's.

    facts: what stands above it, the verdict in a few words first.
    """
    # Set before the import: it reports to its maker otherwise.
    os.environ["DO_NOT_TRACK"] = "1"
    with warnings.catch_warnings():
        # What it uses of NumPy and pandas is its own affair, and empty bins are expected.
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset
        from evidently import Report as EvidentlyReport
        from evidently.presets import DataDriftPreset

        found = _frame(window.values, window.errors, reference.names, most_rows)
        expected = _frame(rows, _errors(reference, len(rows)), reference.names, most_rows)
        # A column without a single value on one side has nothing to be drawn.
        columns = [
            name for name in found.columns if found[name].notna().any() and expected[name].notna().any()
        ]
        definition = DataDefinition(numerical_columns=columns)
        made = EvidentlyReport([DataDriftPreset(columns=columns, method="psi")]).run(
            Dataset.from_pandas(found[columns], data_definition=definition),
            Dataset.from_pandas(expected[columns], data_definition=definition),
        )
        with tempfile.TemporaryDirectory(prefix="drift-page-") as folder:
            file = Path(folder) / "report.html"
            made.save_html(str(file))
            return _headed(file.read_text("utf-8"), facts).encode()


def _headed(page: str, facts: Mapping[str, str]) -> str:
    """The page with a title and the verdict above it, as Evidently's own limits may say something else."""
    (_, verdict), *others = facts.items()
    lines = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in others)
    start, opened, head = page.partition("<head>")
    head, body, rest = head.partition("<body>")
    if not opened or not body:
        raise ValueError("Evidently's page has no <head> and <body> of the kind expected")
    note = "So says drift_detection. What follows is Evidently's: for looking at, by limits of its own."
    header = (
        '<header style="font-family: sans-serif; margin: 1em; text-align: left">'
        f"<h1>{escape(verdict)}</h1><table>{lines}</table><p>{note}</p></header>"
    )
    return f"{start}{opened}<title>{escape(verdict)}</title>{head}{body}{header}{rest}"


def reference_rows(store: Store, reference: Reference, most_rows: int) -> np.ndarray:
    """Training rows of the run that the model was trained on [<= most_rows, features].

    The table is in the order of a hash, so the first rows are a fair sample. Raises NoReferenceRows.
    """
    folder = f"preprocess-runs/{reference.preprocess_run_id}/features"
    parts: list[pa.Table] = []
    rows = 0
    for entry in store.entries(folder) if reference.preprocess_run_id else ():
        content = store.read(entry.path) if entry.path.endswith(".parquet") else None
        if content is None:
            continue
        table = _table(io.BytesIO(content), entry.path)
        parts.append(table.filter(pc.equal(table["split"], "train")))
        rows += parts[-1].num_rows
        if rows >= most_rows:
            break
    if not rows:
        raise NoReferenceRows(
            f"The page needs the feature rows of preprocess run {reference.preprocess_run_id}; found none in "
            f"{store.shown}/{folder}. The verdict stands without them."
        )
    return _values(pa.concat_tables(parts), reference.names)[:most_rows]


def rows_of_file(content: bytes, shown: str, names: Sequence[str]) -> np.ndarray:
    """All rows of a Parquet file [n, features]."""
    return _values(_table(io.BytesIO(content), shown), names)


def _table(source: Any, shown: str) -> pa.Table:
    try:
        return pq.read_table(source)
    except (OSError, pa.ArrowException) as error:
        raise NoReferenceRows(
            f"{shown}: expected a Parquet file of feature rows, found {type(error).__name__}."
        ) from error


def _values(table: pa.Table, names: Sequence[str]) -> np.ndarray:
    missing = np.full(table.num_rows, np.nan, dtype=np.float32)
    columns = [
        table[name].cast(pa.float32()).to_numpy(zero_copy_only=False)
        if name in table.column_names
        else missing
        for name in names
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _errors(reference: Reference, rows: int) -> np.ndarray:
    """So many errors spread as the reference's; which row has which does not matter to columns one by one."""
    ranks = (np.random.default_rng(SEED).permutation(rows) + 0.5) / max(1, rows)
    errors: np.ndarray = np.interp(
        ranks, np.linspace(0.0, 1.0, len(reference.quantiles)), reference.quantiles
    )
    return errors


def _frame(values: np.ndarray, errors: np.ndarray, names: Sequence[str], most_rows: int) -> Any:
    """A data frame of the score and the features, at most ``most_rows`` rows drawn at random."""
    import pandas as pd  # type: ignore[import-untyped]

    chosen = np.arange(len(errors))
    if len(chosen) > most_rows:
        chosen = np.sort(np.random.default_rng(SEED).choice(len(errors), most_rows, replace=False))
    frame = pd.DataFrame(values[chosen].astype(np.float64), columns=list(names))
    frame.insert(0, SCORE_COLUMN, errors[chosen].astype(np.float64))
    return frame
