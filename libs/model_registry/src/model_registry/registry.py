"""Alias of a registered model -> its version and where its artifact lies, read from MLflow's registry.

Two ways: MLflow's REST API (`http://`, `https://`) and, for one machine, its SQLite file (`sqlite:///`), read only.
MLflow's own client is not used on purpose: importing mlflow-skinny took 4 to 5 s and 130 MB of each
process on the machine of the README's performance page, more than all the rest of a service's start, and it cannot read
SQLite without SQLAlchemy and Alembic. What is used of the REST API are two GET calls that have been stable since
aliases exist; a test registers a model with the real MLflow and reads it by both ways.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

import requests
from stage_runtime.exits import ServiceUnreachable, StageError, UnusableInput, WrongSettings

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class ModelVersion:
    """A version of a registered model; location is the URI of its artifact folder."""

    name: str
    version: str
    location: str


class Registry(Protocol):
    """Where models are registered."""

    def resolve(self, name: str, alias: str) -> ModelVersion:
        """The version that the alias names now.

        Raises UnusableInput when there is none, ServiceUnreachable when the registry does not answer and
        WrongSettings when it refuses the credentials.
        """

    def tags(self, model: ModelVersion) -> dict[str, str]:
        """The version's tags, such as the gate's verdict; raises as ``resolve`` does."""

    def registered_at(self, model: ModelVersion) -> datetime:
        """When the version was registered: before that nobody served it. Raises as ``resolve`` does."""


def open_registry(tracking_uri: str) -> Registry:
    """The registry at MLFLOW_TRACKING_URI; nothing is read yet."""
    scheme = urlsplit(tracking_uri).scheme
    if scheme in {"http", "https"}:
        return RestRegistry(tracking_uri)
    if scheme == "sqlite":
        return SqliteRegistry(Path(tracking_uri.removeprefix("sqlite:///")))
    raise WrongSettings(
        "MLFLOW_TRACKING_URI: expected http://…, https://… (an MLflow server) or sqlite:///FILE, "
        f"found the scheme {scheme or 'none'!r}. For another database run `mlflow server` on it."
    )


class MlflowHttp:
    """An HTTP session with an MLflow server, and the address of it without credentials."""

    def __init__(self, tracking_uri: str) -> None:
        parts = urlsplit(tracking_uri)
        host = parts.hostname or ""
        netloc = f"[{host}]" if ":" in host else host
        netloc += f":{parts.port}" if parts.port else ""
        self.base = urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.proxies = requests.utils.get_environ_proxies(self.base)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        user = user or os.environ.get("MLFLOW_TRACKING_USERNAME", "")
        password = password or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
        token = os.environ.get("MLFLOW_TRACKING_TOKEN", "")
        if user:
            self.session.auth = (user, password)
        elif token:
            self.session.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, params: dict[str, str], *, stream: bool = False) -> requests.Response:
        """A GET; 2xx, 400 and 404 come back, everything else raises."""
        try:
            reply = self.session.get(self.base + path, params=params, timeout=TIMEOUT_SECONDS, stream=stream)
        except requests.RequestException as error:
            raise ServiceUnreachable(
                f"The MLflow server at {self.base} did not answer ({type(error).__name__}). "
                "Check that it runs and that MLFLOW_TRACKING_URI is right, then run again."
            ) from error
        if reply.status_code in {401, 403}:
            raise WrongSettings(
                f"The MLflow server at {self.base} refused the credentials (HTTP {reply.status_code}). "
                "Check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
            )
        if reply.ok or reply.status_code in {400, 404}:
            return reply
        raise ServiceUnreachable(
            f"The MLflow server at {self.base} answered HTTP {reply.status_code} to {path}: "
            f"{reply.text[:200]!r}. Look at its log, then run again."
        )


class RestRegistry:
    """MLflow's REST API."""

    def __init__(self, tracking_uri: str) -> None:
        self.http = MlflowHttp(tracking_uri)

    def resolve(self, name: str, alias: str) -> ModelVersion:
        found = self._read("registered-models/alias", {"name": name, "alias": alias})
        if found is None:
            raise no_such_alias(name, alias, self.http.base)
        version = str(found["model_version"]["version"])
        place = self._read("model-versions/get-download-uri", {"name": name, "version": version})
        if place is None:
            raise no_such_alias(name, alias, self.http.base)
        return ModelVersion(name, version, place["artifact_uri"])

    def tags(self, model: ModelVersion) -> dict[str, str]:
        return {tag["key"]: tag["value"] for tag in self._version(model).get("tags", ())}

    def registered_at(self, model: ModelVersion) -> datetime:
        return _moment(self._version(model)["creation_timestamp"])

    def _version(self, model: ModelVersion) -> dict[str, Any]:
        found = self._read("model-versions/get", {"name": model.name, "version": model.version})
        if found is None:
            raise no_such_version(model, self.http.base)
        version: dict[str, Any] = found["model_version"]
        return version

    def _read(self, call: str, params: dict[str, str]) -> dict[str, Any] | None:
        reply = self.http.get(f"/api/2.0/mlflow/{call}", params)
        try:
            body = reply.json()
        except requests.JSONDecodeError:
            body = None
        if not isinstance(body, dict):
            raise WrongSettings(
                f"MLFLOW_TRACKING_URI: expected an MLflow server at {self.http.base}, found "
                f"something that answers {call} with HTTP {reply.status_code} and no JSON object. "
                "Check the address and its path."
            )
        # MLflow says 404 for a model and 400 for an alias that is not there, each with one of these codes.
        code = body.get("error_code")
        if reply.ok:
            return body
        if code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise WrongSettings(
            f"The MLflow server at {self.http.base} does not know the call {call} "
            f"({code or f'HTTP {reply.status_code}'}): it must be MLflow 2.3 or newer."
        )


class SqliteRegistry:
    """The database file of an MLflow on this machine."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def resolve(self, name: str, alias: str) -> ModelVersion:
        rows = self._read(
            "SELECT v.version, COALESCE(v.storage_location, v.source) FROM registered_model_aliases a"
            " JOIN model_versions v ON v.name = a.name AND v.version = a.version"
            " WHERE a.name = ? AND a.alias = ?",
            (name, alias),
        )
        if not rows:
            raise no_such_alias(name, alias, str(self.file))
        return ModelVersion(name, str(rows[0][0]), rows[0][1])

    def tags(self, model: ModelVersion) -> dict[str, str]:
        rows = self._read(
            "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?",
            (model.name, model.version),
        )
        return {str(key): str(value) for key, value in rows}

    def registered_at(self, model: ModelVersion) -> datetime:
        rows = self._read(
            "SELECT creation_time FROM model_versions WHERE name = ? AND version = ?",
            (model.name, model.version),
        )
        if not rows:
            raise no_such_version(model, str(self.file))
        return _moment(rows[0][0])

    def _read(self, query: str, values: tuple[str, ...]) -> list[tuple[Any, ...]]:
        if not self.file.is_file():
            raise ServiceUnreachable(
                f"MLFLOW_TRACKING_URI: expected MLflow's SQLite file at {self.file}, found none. "
                "Train a model first (`make demo`, `make train`), or correct the path."
            )
        try:
            uri = f"{self.file.resolve().as_uri()}?mode=ro"
            connection = sqlite3.connect(uri, uri=True, timeout=TIMEOUT_SECONDS)
            try:
                return connection.execute(query, values).fetchall()
            finally:
                connection.close()
        except sqlite3.OperationalError as error:
            raise _database_error(self.file, error) from error
        except sqlite3.DatabaseError as error:
            raise WrongSettings(
                f"{self.file}: expected a database of MLflow, found something else ({error}). "
                "Correct MLFLOW_TRACKING_URI."
            ) from error


def no_such_alias(name: str, alias: str, where: str) -> UnusableInput:
    """The error for an alias that is not there."""
    hint = (
        "The command `ml_training gate` moves champion to a candidate that passes; "
        "MODEL_ALIAS=candidate serves the newest one unproven."
    )
    return UnusableInput(
        f"Registry {where}: expected a version of the model {name!r} with the alias {alias!r}, found none. {hint}"
    )


def no_such_version(model: ModelVersion, where: str) -> UnusableInput:
    """The error for a version that is gone."""
    return UnusableInput(
        f"Registry {where}: expected version {model.version} of the model {model.name!r}, found none. Was it deleted?"
    )


def _moment(milliseconds: int | str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def _database_error(file: Path, error: sqlite3.OperationalError) -> StageError:
    if "no such" in str(error):
        return WrongSettings(
            f"{file}: expected the tables of MLflow's registry, found a database without them ({error}). "
            "Correct MLFLOW_TRACKING_URI, or run `mlflow server` on the database and name its address."
        )
    return ServiceUnreachable(f"{file}: MLflow's database cannot be read now ({error}). Run again.")
