"""The declared search: sets of candidates in ``candidates.toml``, or in a file like it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from stage_runtime.exits import WrongSettings

from ml_training.autoencoder import Architecture
from ml_training.trainer import TrainingOptions
from ml_training.weights import BlockWeights

_ARCHITECTURE = frozenset(field.name for field in fields(Architecture)) - {"n_features"}
_OPTIONS = frozenset(field.name for field in fields(TrainingOptions))
# In the order of BlockWeights.
_WEIGHTS = ("block_weights", "strict_weights", "free_weights")


@dataclass(frozen=True)
class Candidate:
    """One network to try. architecture: what Architecture takes besides n_features."""

    name: str
    architecture: Mapping[str, Any]
    options: TrainingOptions
    weights: BlockWeights

    def sized(self, n_features: int) -> Architecture:
        """The architecture for so many input columns."""
        return Architecture(n_features=n_features, **self.architecture)

    def params(self) -> dict[str, Any]:
        """Flat hyper-parameters, as MLflow shows them."""
        options = {field.name: getattr(self.options, field.name) for field in fields(TrainingOptions)}
        return {"candidate": self.name, **self.architecture, **options, **self.weights.params()}


def load_candidates(choice: str, overrides: Mapping[str, Any]) -> list[Candidate]:
    """The candidates of a set of the package, or of the only set of a file; ``overrides`` beats both.

    Raises WrongSettings that names what is wrong with the set.
    """
    sets, place = _read(choice)
    if Path(choice).suffix == ".toml" and len(sets) == 1:
        choice = next(iter(sets))
    chosen = sets.get(choice)
    if not isinstance(chosen, dict) or not chosen.get("candidates"):
        raise WrongSettings(
            f"CANDIDATES: expected one of the sets {', '.join(sets)} of {place} with at least one candidate, "
            f"found {choice!r}"
        )
    made = [
        _candidate({**chosen.get("defaults", {}), **declared, **overrides}, place)
        for declared in chosen["candidates"]
    ]
    names = [candidate.name for candidate in made]
    if len(set(names)) < len(names):
        raise WrongSettings(f"CANDIDATES: expected different names in {place}, found {names}")
    return made


def _read(choice: str) -> tuple[dict[str, Any], str]:
    try:
        if Path(choice).suffix == ".toml":
            return tomllib.loads(Path(choice).read_text("utf-8")), choice
        source = files("ml_training").joinpath("candidates.toml")
        return tomllib.loads(source.read_text("utf-8")), source.name
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise WrongSettings(f"CANDIDATES: expected a readable TOML file, found {error}") from error


def _candidate(declared: Mapping[str, Any], place: str) -> Candidate:
    known = {"name", *_WEIGHTS} | _ARCHITECTURE | _OPTIONS
    unknown = sorted(set(declared) - known)
    if unknown or not declared.get("name"):
        problem = f"unknown keys {', '.join(unknown)}" if unknown else "no name"
        raise WrongSettings(f"CANDIDATES: {place} has a candidate with {problem}")
    architecture = {key: value for key, value in declared.items() if key in _ARCHITECTURE}
    if "hidden" in architecture:
        architecture["hidden"] = tuple(architecture["hidden"])
    try:
        options = TrainingOptions(**{key: value for key, value in declared.items() if key in _OPTIONS})
        Architecture(n_features=1, **architecture)
    except TypeError as error:
        raise WrongSettings(f"CANDIDATES: {place}, candidate {declared['name']}: {error}") from error
    weights = BlockWeights(*(dict(declared.get(key, {})) for key in _WEIGHTS))
    return Candidate(declared["name"], architecture, options, weights)
