"""The command ``new-rows``: is there anything to learn that has not been judged?

Compared with the run behind the version that was trained last, not with the newest run: a training that was killed
after its preprocessing must be made up for. A candidate that the gate has not judged, because that was killed, is
something to do as well; one that it refused need not be trained again from the same rows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pymongo
from model_registry.registry import ModelVersion, Registry, open_registry
from pymongo import errors
from pymongo.collection import Collection
from stage_runtime.exits import ServiceUnreachable, UnusableInput, WrongSettings
from stage_runtime.logs import get_logger

from drift_detection.reference import of_version
from drift_detection.settings import NewRowsSettings
from drift_detection.store import Store

WAIT_MILLISECONDS = 20_000
# What the gate writes into the version's tag "gate".
REFUSED = "refused"


@dataclass(frozen=True)
class Seen:
    """What a preprocess run had read: documents, and the latest change among them."""

    documents: int
    updated_at: datetime | None


def seen_by_last_training(settings: NewRowsSettings, store: Store) -> Seen | None:
    """From the manifest of the run behind the candidate.

    None where everything is to be done: there is no such run, or the gate has not judged the candidate.
    """
    registry = open_registry(settings.mlflow_tracking_uri)
    candidate = _version(registry, settings.model_name, settings.candidate_alias)
    champion = _version(registry, settings.model_name, settings.model_alias)
    if candidate is None:
        return None
    if candidate != champion and not _judged(registry.tags(candidate)):
        get_logger().info("The gate has not judged the candidate", model_version=candidate.version)
        return None
    try:
        run_id = of_version(settings, candidate).preprocess_run_id
    except UnusableInput:
        return None
    content = store.read(f"preprocess-runs/{run_id}/manifest.json") if run_id else None
    if content is None:
        return None
    try:
        manifest = json.loads(content)
        updated = manifest["source"]["watermark"]["updated_at"]
        return Seen(int(manifest["documents"]), datetime.fromisoformat(updated) if updated else None)
    except (KeyError, TypeError, ValueError):
        return None


def _judged(tags: Mapping[str, str]) -> bool:
    """Refused, or promoted once: then somebody went back from it by hand, and nothing waits for the gate."""
    return tags.get("gate") == REFUSED or "gate_promoted" in tags


def _version(registry: Registry, name: str, alias: str) -> ModelVersion | None:
    try:
        return registry.resolve(name, alias)
    except UnusableInput:
        return None


def enough(settings: NewRowsSettings, seen: Seen | None) -> int:
    """So many new or changed documents are worth a training."""
    share = math.ceil(settings.min_new_share * seen.documents) if seen is not None else 0
    return max(settings.min_new_rows, share)


def count_new(settings: NewRowsSettings, seen: Seen | None) -> int:
    """New or changed documents in the collection since then. Raises ServiceUnreachable or WrongSettings."""
    uri = settings.mongo_uri.get_secret_value()
    # What the address names itself wins.
    wait: dict[str, Any] = (
        {} if "serverselectiontimeoutms=" in uri.lower() else {"serverSelectionTimeoutMS": WAIT_MILLISECONDS}
    )
    try:
        client: pymongo.MongoClient[dict[str, Any]]
        with pymongo.MongoClient(uri, tz_aware=True, tzinfo=UTC, **wait) as client:
            collection: Collection[dict[str, Any]] = client[settings.mongo_db][settings.mongo_collection]
            documents = collection.count_documents({})
            if seen is None:
                return documents
            changed = 0
            if seen.updated_at is not None:
                changed = collection.count_documents({"updated_at": {"$gt": seen.updated_at}})
    except (errors.ConfigurationError, errors.OperationFailure) as error:
        raise WrongSettings(
            f"MongoDB refused ({type(error).__name__}): check user, password and rights in MONGO_URI."
        ) from None
    except errors.PyMongoError as error:
        raise ServiceUnreachable(
            f"MongoDB did not answer ({type(error).__name__}). Check that it runs and MONGO_URI, then run again."
        ) from None
    # Pull requests of a repository that was added are older than the watermark, but there are more of them.
    return max(changed, documents - seen.documents)
