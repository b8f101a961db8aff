"""Published preprocess runs: find one, prove it whole, open it.

A run is the folder ``{root}/preprocess-runs/{RUN_ID}/``. Its ``manifest.json`` is written last and lists
every file with size and SHA-256: without it, or with a file that differs, there is no run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stage_runtime.exits import UnusableInput
from stage_runtime.logs import get_logger

from ml_training.storage import Root

RUNS = "preprocess-runs"
MANIFEST = "manifest.json"
NEXT_STEP = "Run spark_preprocess, or name another run in PREPROCESS_RUN_ID."


@dataclass(frozen=True)
class Run:
    """A run that was proved whole, with its files on the local disk.

    manifest: as read. folder: where the files lie. data_hash: identifies the content of features and
    preprocessor, whatever the run is called.
    """

    run_id: str
    manifest: Mapping[str, Any]
    folder: Path
    data_hash: str

    def files(self, subfolder: str, suffix: str = ".parquet") -> list[Path]:
        """Files of a subfolder in the order of their names, which is the order of the rows."""
        wanted = [
            entry["path"]
            for entry in self.manifest["files"]
            if entry["path"].startswith(f"{subfolder}/") and entry["path"].endswith(suffix)
        ]
        return [self.folder / path for path in sorted(wanted)]

    @property
    def preprocessor_path(self) -> Path:
        """The fitted preprocessor."""
        return self.folder / "preprocessor.json"

    @property
    def evaluation_path(self) -> Path | None:
        """Raw documents of split ``later`` for injections; None where the run has none."""
        path = self.folder / "evaluation" / "documents.jsonl.gz"
        return path if path.is_file() else None


def choose_run(root: Root, run_id: str | None) -> tuple[str, dict[str, Any]]:
    """(run id, manifest) of the run named, or of the newest one that has a manifest.

    Raises UnusableInput where there is none.
    """
    if run_id:
        manifest = _read_manifest(root, run_id)
        if manifest is None:
            known = _with_manifest(root)
            raise UnusableInput(
                f"preprocess run {run_id!r} in {root.shown}: expected {RUNS}/{run_id}/{MANIFEST}, found none, "
                f"so it was never published. Published runs: {', '.join(known) or 'none'}. {NEXT_STEP}"
            )
        return run_id, manifest
    published = _with_manifest(root)
    if not published:
        unfinished = root.folders(RUNS)
        found = f"{len(unfinished)} without a manifest" if unfinished else "no run"
        raise UnusableInput(
            f"{root.shown}/{RUNS}: expected a published preprocess run, found {found}. {NEXT_STEP}"
        )
    # Names break ties, so that the choice never depends on how the store lists its folders.
    newest = max(published, key=lambda name: (str(published[name].get("published_at", "")), name))
    return newest, published[newest]


def open_run(root: Root, run_id: str, manifest: Mapping[str, Any], work_dir: Path) -> Run:
    """Prove every file against the manifest; a run on S3 is copied to ``work_dir`` while it is read.

    Raises UnusableInput naming the first file that is missing or differs.
    """
    entries = _entries(run_id, manifest)
    folder = Path(root.path(RUNS, run_id)) if root.local else work_dir / RUNS / run_id
    size = sum(entry["bytes"] for entry in entries)
    get_logger().info("checking the run", run_id=run_id, files=len(entries), bytes=size)
    for entry in entries:
        parts = entry["path"].split("/")
        copy = None if root.local else folder.joinpath(*parts)
        if copy is not None:
            copy.parent.mkdir(parents=True, exist_ok=True)
        found = root.digest(copy, RUNS, run_id, *parts)
        if found != (entry["bytes"], entry["sha256"]):
            what = "no such file" if found is None else f"{found[0]} bytes, SHA-256 {found[1][:12]}…"
            raise UnusableInput(
                f"preprocess run {run_id!r}, file {entry['path']}: expected {entry['bytes']} bytes, SHA-256 "
                f"{entry['sha256'][:12]}…, found {what}. The run is damaged. {NEXT_STEP}"
            )
    return Run(run_id, manifest, folder, _data_hash(entries))


def _with_manifest(root: Root) -> dict[str, dict[str, Any]]:
    manifests = {name: _read_manifest(root, name) for name in root.folders(RUNS)}
    return {name: manifest for name, manifest in manifests.items() if manifest is not None}


def _read_manifest(root: Root, run_id: str) -> dict[str, Any] | None:
    content = root.read_bytes(RUNS, run_id, MANIFEST)
    if content is None:
        return None
    try:
        manifest = json.loads(content)
        if not isinstance(manifest, dict):
            raise ValueError("no object")
    except ValueError as error:
        raise UnusableInput(
            f"preprocess run {run_id!r}: expected a JSON object in {MANIFEST}, found other content. {NEXT_STEP}"
        ) from error
    return manifest


def _entries(run_id: str, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    entries = manifest.get("files")
    well_formed = isinstance(entries, list) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("path"), str)
        and isinstance(entry.get("bytes"), int)
        and isinstance(entry.get("sha256"), str)
        and ".." not in entry["path"].split("/")
        for entry in entries
    )
    if (
        entries is None
        or not well_formed
        or not any(entry["path"] == "preprocessor.json" for entry in entries)
    ):
        raise UnusableInput(
            f"preprocess run {run_id!r}: expected a list of files with path, bytes and sha256, "
            f"preprocessor.json among them, in {MANIFEST}. {NEXT_STEP}"
        )
    return list(entries)


def _data_hash(entries: list[dict[str, Any]]) -> str:
    """Over the rows and the preprocessor only: a run repeated on the same input has the same one."""
    wanted = sorted(
        f"{entry['path']} {entry['sha256']}"
        for entry in entries
        if entry["path"].startswith("features/") or entry["path"] == "preprocessor.json"
    )
    return hashlib.sha256("\n".join(wanted).encode()).hexdigest()
