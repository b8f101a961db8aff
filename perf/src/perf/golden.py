"""The registered model's golden request, flag rate and words, read from the registry, not from the service.

The two REST calls and the two tables are the same that serving reads; a stage never imports another.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from stage_runtime.exits import GateRefused, ServiceUnreachable, UnusableInput, WrongSettings, reaching

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
    if urlsplit(uri).scheme in {"http", "https"}:
        version, location = _by_http(settings)
    elif uri.startswith("sqlite:///"):
        version, location = _by_sqlite(settings)
    else:
        raise WrongSettings("MLFLOW_TRACKING_URI: expected http://…, https://… or sqlite:///FILE.")
    golden, threshold, preprocessor = (
        json.loads(_read(settings, location, f"artifacts/{name}.json"))
        for name in ("golden", "threshold", "preprocessor")
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
    return Registered(version, golden, rate, words[:WORDS])


def _no_alias(settings: GateSettings) -> UnusableInput:
    return UnusableInput(
        f"Registry: expected the alias {settings.model_alias} of {settings.model_name}, found none."
    )


def _by_sqlite(settings: GateSettings) -> tuple[str, str]:
    file = Path(settings.mlflow_tracking_uri.removeprefix("sqlite:///"))
    if not file.is_file():
        raise ServiceUnreachable(f"MLFLOW_TRACKING_URI: expected MLflow's SQLite file at {file}, found none.")
    connection = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
    try:
        row = connection.execute(
            "SELECT v.version, COALESCE(v.storage_location, v.source) FROM registered_model_aliases a"
            " JOIN model_versions v ON v.name = a.name AND v.version = a.version WHERE a.name = ? AND a.alias = ?",
            (settings.model_name, settings.model_alias),
        ).fetchone()
    finally:
        connection.close()
    if row is None:
        raise _no_alias(settings)
    return str(row[0]), str(row[1])


def _get(settings: GateSettings, path: str, **params: str) -> requests.Response:
    base = settings.mlflow_tracking_uri.rstrip("/")
    with reaching("The MLflow server", requests.RequestException):
        return requests.get(base + path, params=params, timeout=SECONDS)


def _by_http(settings: GateSettings) -> tuple[str, str]:
    name = settings.model_name
    alias = _get(settings, "/api/2.0/mlflow/registered-models/alias", name=name, alias=settings.model_alias)
    if not alias.ok:
        raise _no_alias(settings)
    version = str(alias.json()["model_version"]["version"])
    place = _get(settings, "/api/2.0/mlflow/model-versions/get-download-uri", name=name, version=version)
    place.raise_for_status()
    return version, str(place.json()["artifact_uri"])


def _read(settings: GateSettings, location: str, name: str) -> bytes:
    parts = urlsplit(location)
    if parts.scheme in {"", "file"}:
        file = Path(parts.path) / name
        if not file.is_file():
            raise UnusableInput(f"Registered model: expected {file}, found none.")
        return file.read_bytes()
    if parts.scheme == "mlflow-artifacts":
        path = f"/api/2.0/mlflow-artifacts/artifacts/{parts.path.strip('/')}/{name}"
        reply = _get(settings, path)
        if not reply.ok:
            raise UnusableInput(
                f"Registered model: expected {name}, the MLflow server answered {reply.status_code}."
            )
        return reply.content
    if parts.scheme in {"s3", "s3a"}:
        return _from_s3(settings, parts.netloc, f"{parts.path.strip('/')}/{name}")
    raise WrongSettings(f"Artifact store: expected file, s3 or mlflow-artifacts, found {parts.scheme!r}.")


def _from_s3(settings: GateSettings, bucket: str, key: str) -> bytes:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3",
        endpoint_url=settings.do_spaces_endpoint or None,
        aws_access_key_id=settings.do_spaces_access_key.get_secret_value() or None,
        aws_secret_access_key=settings.do_spaces_secret_key.get_secret_value() or None,
        region_name="us-east-1",
    )
    with reaching(f"The bucket {bucket}", BotoCoreError, ClientError):
        content: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    return content
