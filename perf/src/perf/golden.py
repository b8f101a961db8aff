"""The registered model's golden request, flag rate and words, read from the registry, not from the service."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from model_registry.artifacts import local_folder
from model_registry.object_store import S3Access
from model_registry.registry import open_registry
from stage_runtime.exits import GateRefused, UnusableInput, reaching

from perf.settings import GateSettings

SECONDS = 15.0
TOLERANCE = 1e-5
# So many of the words that most training documents use: what an ordinary pull request is written in.
WORDS = 200


@dataclass(frozen=True)
class Registered:
    """What the gate reads of the version that the alias names.

    golden: request and reconstruction_error; flag_rate: share of the later rows that its threshold flagged in
    training; words: the most used ones of the corpus, without endings of files.
    """

    version: str
    golden: Mapping[str, Any]
    flag_rate: float
    words: Sequence[str]


def check_golden(settings: GateSettings, model: Registered) -> None:
    """Score the golden request over HTTP; raises GateRefused where version or score differ from what is registered."""
    golden = model.golden
    address = settings.host.rstrip("/") + "/predict"
    with reaching(f"The service at {settings.host}", requests.RequestException):
        answer = requests.post(
            address, json=golden["request"], headers={"X-Request-Purpose": "load-test"}, timeout=SECONDS
        )
    if answer.status_code != 200:
        raise GateRefused(
            f"Golden request: expected status 200, found {answer.status_code}: {answer.text[:300]}"
        )
    score = answer.json()
    expected, found = float(golden["reconstruction_error"]), float(score["reconstruction_error"])
    if str(score["model_version"]) != model.version:
        raise GateRefused(
            f"Golden request: expected model version {model.version} ({settings.model_alias}), "
            f"found {score['model_version']}. Reload the service (POST /reload)."
        )
    if not abs(found - expected) <= TOLERANCE * max(1.0, abs(expected)):
        raise GateRefused(f"Golden request: expected the score {expected!r}, found {found!r}.")


def read_registered(settings: GateSettings) -> Registered:
    """What is registered under the alias; raises UnusableInput where a file of it is missing or not as expected."""
    uri = settings.mlflow_tracking_uri
    found = open_registry(uri).resolve(settings.model_name, settings.model_alias)
    access = S3Access(
        settings.do_spaces_endpoint or None,
        settings.do_spaces_access_key.get_secret_value(),
        settings.do_spaces_secret_key.get_secret_value(),
    )
    with tempfile.TemporaryDirectory(prefix="perf-model-") as cache:
        files = local_folder(found, uri, Path(cache), access) / "artifacts"
        golden, threshold, preprocessor = (
            _read(files / f"{name}.json") for name in ("golden", "threshold", "preprocessor")
        )
    try:
        # null: a corpus too small for later rows
        rates = threshold["flag_rate"]
        rate = float(rates["later"] if rates["later"] is not None else rates["train"] or 0.0)
        terms: dict[str, int] = preprocessor["profile"]["terms"]
    except (KeyError, TypeError) as error:
        raise UnusableInput(
            "Registered model: expected flag_rate in threshold.json and profile.terms in preprocessor.json, "
            f"found otherwise ({error!r}). Train and register it again."
        ) from error
    words = [word for word in sorted(terms, key=lambda word: (-terms[word], word)) if ":" not in word]
    return Registered(found.version, golden, rate, words[:WORDS])


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text("utf-8"))
    except FileNotFoundError as error:
        raise UnusableInput(
            f"Registered model: expected artifacts/{file.name}, found none. Train and register it again."
        ) from error
    except ValueError as error:
        raise UnusableInput(f"Registered model: expected JSON in artifacts/{file.name} ({error}).") from error
