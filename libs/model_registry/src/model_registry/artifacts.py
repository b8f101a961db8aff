"""The artifact folder of a model version on this machine: used in place, or downloaded once into the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import requests
from stage_runtime.exits import ServiceUnreachable, UnusableInput, WrongSettings

from model_registry.object_store import S3Access, s3_client
from model_registry.registry import MlflowHttp, ModelVersion

CHUNK_BYTES = 1 << 20
PROXIED = "/api/2.0/mlflow-artifacts/artifacts"


def local_folder(model: ModelVersion, tracking_uri: str, cache: Path, s3: S3Access) -> Path:
    """The folder with MLmodel, artifacts/ and code/ of this version.

    A local artifact store is used in place. Anything else is downloaded into a folder of the cache named after the
    version and its location; the folder appears there complete or not at all, so several processes may ask at once.
    Raises UnusableInput for a version without files, ServiceUnreachable when the store does not answer.
    """
    scheme = urlsplit(model.location).scheme
    if scheme in {"", "file"}:
        folder = Path(unquote(urlsplit(model.location).path)) if scheme else Path(model.location)
        if not folder.is_dir():
            raise UnusableInput(
                f"Model {model.name} version {model.version}: expected its artifact folder {folder}, found none. "
                "Was it deleted, or registered on another machine? Use an MLflow server that serves artifacts."
            )
        return folder
    digest = hashlib.sha256(model.location.encode()).hexdigest()[:12]
    target = cache / f"{model.name}-{model.version}-{digest}"
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=cache))
    try:
        files = 0
        for path, chunks in _files(model.location, tracking_uri, s3):
            _write(unfinished / _inside(path, model), chunks)
            files += 1
        if not files:
            raise UnusableInput(
                f"Model {model.name} version {model.version}: expected files at its artifact location, found none. "
                "Train and register it again."
            )
        try:
            unfinished.rename(target)
        except OSError:  # another process was faster; its folder is complete
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _inside(path: str, model: ModelVersion) -> PurePosixPath:
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise UnusableInput(
            f"Model {model.name} version {model.version}: refused an artifact path that leads out of its folder."
        )
    return relative


def _write(file: Path, chunks: Iterator[bytes]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as out:
        for chunk in chunks:
            out.write(chunk)


def _files(location: str, tracking_uri: str, s3: S3Access) -> Iterator[tuple[str, Iterator[bytes]]]:
    """(path within the folder, content) of every file at the location."""
    parts = urlsplit(location)
    if parts.scheme == "mlflow-artifacts":
        # mlflow-artifacts:/path is served by the tracking server, mlflow-artifacts://host/path by another.
        base = tracking_uri
        if parts.netloc:
            base = f"{urlsplit(tracking_uri).scheme}://{parts.netloc}"
        return _http_files(MlflowHttp(base), parts.path.strip("/"))
    if parts.scheme in {"http", "https"} and PROXIED in parts.path:
        base, _, path = location.partition(PROXIED)
        return _http_files(MlflowHttp(base), path.strip("/"))
    if parts.scheme in {"s3", "s3a"}:
        return _s3_files(s3, parts.netloc, parts.path.strip("/"))
    raise WrongSettings(
        f"Artifact store: expected file, s3, mlflow-artifacts or http, found the scheme {parts.scheme!r}. "
        "Run the MLflow server with --serve-artifacts, then it hands the files out itself."
    )


def _http_files(http: MlflowHttp, root: str) -> Iterator[tuple[str, Iterator[bytes]]]:
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        listed = http.get(PROXIED, {"path": folder})
        entries: list[dict[str, Any]] = listed.json().get("files") or [] if listed.ok else []
        for entry in entries:
            path = f"{folder}/{entry['path']}"
            if entry.get("is_dir"):
                waiting.append(path)
            else:
                yield path.removeprefix(root + "/"), _http_content(http, path)


def _http_content(http: MlflowHttp, path: str) -> Iterator[bytes]:
    with http.get(f"{PROXIED}/{quote(path)}", {}, stream=True) as reply:
        if not reply.ok:
            raise ServiceUnreachable(
                f"The MLflow server at {http.base} listed the artifact {path} and then did not have it. Run again."
            )
        try:
            yield from reply.iter_content(CHUNK_BYTES)
        except requests.RequestException as error:
            raise ServiceUnreachable(
                f"The MLflow server at {http.base} broke off in the artifact {path}. Run again."
            ) from error


def _s3_files(s3: S3Access, bucket: str, root: str) -> Iterator[tuple[str, Iterator[bytes]]]:
    client, failures = s3_client(s3)
    try:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=root + "/")
        for page in pages:
            for entry in page.get("Contents", ()):
                key = entry["Key"]
                if not key.endswith("/"):
                    body = client.get_object(Bucket=bucket, Key=key)["Body"]
                    yield key.removeprefix(root + "/"), body.iter_chunks(CHUNK_BYTES)
    except failures as error:
        raise ServiceUnreachable(
            f"The object store with the bucket {bucket} did not hand out the model ({type(error).__name__}). "
            "Check DO_SPACES_ENDPOINT and the keys, then run again."
        ) from error


def default_cache() -> Path:
    """A folder of this user for downloaded models."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(
        tempfile.gettempdir(), f"pr-anomaly-{os.getuid()}"
    )
    return Path(base) / "models"
