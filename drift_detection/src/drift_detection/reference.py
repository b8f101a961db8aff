"""What the served model brings to be compared with: ``reference.json`` and ``card.json`` of its artifact."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from model_registry.artifacts import local_folder
from model_registry.registry import ModelVersion, open_registry
from stage_runtime.exits import UnusableInput

from drift_detection.settings import RegistrySettings


@dataclass(frozen=True)
class FeatureBins:
    """A feature's bins: bin i holds edges[i-1] < x <= edges[i]; counts [len(edges) + 1], and missing values.

    quantiles [k]: of the values that are present, at evenly spaced ranks; empty where there is none.
    """

    name: str
    group: str
    edges: np.ndarray
    counts: np.ndarray
    quantiles: np.ndarray
    missing: int

    def count(self, values: np.ndarray) -> np.ndarray:
        """Rows of ``values`` [n] (NaN: missing) in each bin, the missing ones last."""
        present = values[~np.isnan(values)]
        bins = np.bincount(np.searchsorted(self.edges, present, side="left"), minlength=len(self.edges) + 1)
        return np.append(bins, len(values) - len(present))

    @property
    def expected(self) -> np.ndarray:
        """Counts of the reference, laid out as ``count`` does."""
        return np.append(self.counts, self.missing)


@dataclass(frozen=True)
class Reference:
    """quantiles [k]: errors of unseen rows at evenly spaced ranks, of which there were ``score_rows``.

    preprocess_run_id: the run that the model was trained on, where the card says so. registered_at: of a version
    that an alias names.
    """

    model_name: str
    model_version: str
    quantiles: np.ndarray
    score_rows: int
    features: tuple[FeatureBins, ...]
    preprocess_run_id: str | None
    registered_at: datetime | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features in order."""
        return tuple(feature.name for feature in self.features)


def of_registry(settings: RegistrySettings, alias: str) -> Reference:
    """The reference of the version that an alias names now."""
    registry = open_registry(settings.mlflow_tracking_uri)
    found = registry.resolve(settings.model_name, alias)
    return replace(of_version(settings, found), registered_at=registry.registered_at(found))


def of_version(settings: RegistrySettings, found: ModelVersion) -> Reference:
    """The reference of a registered version."""
    folder = local_folder(found, settings.mlflow_tracking_uri, settings.model_cache, settings.s3_access)
    return of_folder(folder, found.name, found.version)


def of_folder(folder: Path, name: str, version: str) -> Reference:
    """The reference in a model's folder; raises UnusableInput for one that has none that can be used."""
    files = folder / "artifacts" if (folder / "artifacts").is_dir() else folder
    shown = f"model {name} version {version}, reference.json"
    try:
        content = json.loads((files / "reference.json").read_text("utf-8"))
        return _parsed(content, name, version, _run_of(files / "card.json"))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UnusableInput(
            f"{shown}: expected the reference that ml_training writes, found {type(error).__name__}: {error}. "
            "Train and register the model again."
        ) from error


def _parsed(content: Mapping[str, Any], name: str, version: str, run_id: str | None) -> Reference:
    drift = content["drift"]
    features = tuple(
        FeatureBins(
            name=str(one["name"]),
            group=str(one["group"]),
            edges=np.array(one["edges"], dtype=np.float64),
            counts=np.array(one["counts"], dtype=np.int64),
            quantiles=np.array(one["quantiles"], dtype=np.float64),
            missing=int(one["missing"]),
        )
        for one in drift["features"]
    )
    for feature in features:
        if len(feature.counts) != len(feature.edges) + 1:
            raise ValueError(f"{feature.name}: {len(feature.counts)} counts for {len(feature.edges)} edges")
    score = drift["score"]
    return Reference(
        name, version, np.array(score["quantiles"], dtype=np.float64), int(score["rows"]), features, run_id
    )


def _run_of(card: Path) -> str | None:
    try:
        found = json.loads(card.read_text("utf-8"))["data"]["preprocess_run_id"]
    except (OSError, KeyError, TypeError, ValueError):
        return None
    return str(found)
