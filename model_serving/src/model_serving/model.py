"""A model version in memory: its own feature code, its scorer, its card.

Several may stand side by side (before and after a reload): the feature code of each is imported under a name of its
own, which works because pr_features imports itself only relatively.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from stage_runtime.exits import UnusableInput

from model_serving.network import Network

NEEDED = (
    "network.onnx",
    "preprocessor.json",
    "history.npz",
    "threshold.json",
    "reference.json",
    "golden.json",
)
_numbers = itertools.count(1)


class BrokenModel(UnusableInput):
    """A model artifact that is incomplete, does not load, or does not score its golden request as stored."""


@dataclass(frozen=True)
class ServedModel:
    """What answers requests. documents and scorer are those of the artifact's own pr_features."""

    name: str
    version: str
    folder: Path
    documents: ModuleType
    scorer: Any
    network: Network
    card: Mapping[str, Any]
    overridable: frozenset[str]
    features: Sequence[str]
    columns: Sequence[str]
    loaded_at: float

    @property
    def knows_accounts(self) -> bool | None:
        """Whether authors had GitHub's own ids in training; a hidden author has none. None where that is not told."""
        missing = dict(zip(self.features, self.scorer.preprocessor.missing, strict=True))
        return None if "account_age" not in missing else missing["account_age"] < 1

    def open(self) -> None:
        """Make the network ready in this process and prove the golden request; raises BrokenModel."""
        try:
            self.network.open()
            self.scorer.prove_golden()
        except Exception as error:
            raise BrokenModel(f"Model {self.name} version {self.version}: {error}") from error

    def close(self) -> None:
        """Forget the feature code; requests that still run keep what they hold."""
        name = self.documents.__name__.rpartition(".")[0]
        for module in [key for key in sys.modules if key == name or key.startswith(name + ".")]:
            del sys.modules[module]


def load_model(name: str, version: str, folder: Path) -> ServedModel:
    """Read everything of an artifact folder but open no session; raises BrokenModel naming what is wrong.

    folder: the MLflow model (MLmodel, artifacts/, code/pr_features). Code in it is run: whoever may write to the
    registry may run code here, as with any MLflow model.
    """
    files, code = folder / "artifacts", folder / "code" / "pr_features"
    found = f"Model {name} version {version} in {folder}"
    missing = [item for item in NEEDED if not (files / item).is_file()]
    if not (code / "__init__.py").is_file():
        missing.append("code/pr_features")
    if missing:
        raise BrokenModel(f"{found}: expected {', '.join(missing)}, found none. Train and register it again.")
    package = f"pr_features_{next(_numbers)}"
    try:
        _import_package(package, code)
        documents = importlib.import_module(f"{package}.documents")
        scoring = importlib.import_module(f"{package}.scoring")
        network = Network(files / "network.onnx")
        scorer = scoring.Scorer.load(files, network)
        card = _card(files / "card.json")
        features = tuple(importlib.import_module(f"{package}.registry").NAMES)
        columns = tuple(scorer.preprocessor.columns)
    except Exception as error:
        for key in [key for key in sys.modules if key == package or key.startswith(package + ".")]:
            del sys.modules[key]
        raise BrokenModel(f"{found}: {error}") from error
    return ServedModel(
        name,
        version,
        folder,
        documents,
        scorer,
        network,
        card,
        scoring.OVERRIDABLE,
        features,
        columns,
        time.time(),
    )


def _import_package(package: str, folder: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        package, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} is no package")
    module = importlib.util.module_from_spec(spec)
    sys.modules[package] = module
    # An artifact store may be read only, and a cache of ours must not change what was published.
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
        for name in ("documents", "scoring"):
            importlib.import_module(f"{package}.{name}")
    finally:
        sys.dont_write_bytecode = before


def _card(file: Path) -> Mapping[str, Any]:
    if not file.is_file():
        return {}
    card = json.loads(file.read_text("utf-8"))
    if not isinstance(card, dict):
        raise ValueError(f"{file}: expected an object")
    return card
