"""The command ``new-rows``: are there pull requests that no candidate has been trained on?

Compared with the run behind the version that was trained last, not with the newest run: a training that was killed
after its preprocessing must be made up for, and one whose candidate was refused need not be repeated.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pymongo
from pymongo import errors
from pymongo.collection import Collection
from stage_runtime.exits import ServiceUnreachable, UnusableInput, WrongSettings

from drift_detection.reference import of_registry
from drift_detection.settings import NewRowsSettings
from drift_detection.store import Store

WAIT_MILLISECONDS = 20_000


@dataclass(frozen=True)
class Seen:
    """What a preprocess run had read: documents, and the latest change among them."""

    documents: int
    updated_at: datetime | None


def seen_by_last_training(settings: NewRowsSettings, store: Store) -> Seen | None:
    """From the manifest of the run behind the candidate; None where there is no such run, so that all is new."""
    try:
        run_id = of_registry(settings, settings.candidate_alias).preprocess_run_id
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


def count_new(settings: NewRowsSettings, seen: Seen | None) -> int:
    """New or changed documents in the collection since then. Raises ServiceUnreachable or WrongSettings."""
    try:
        client: pymongo.MongoClient[dict[str, Any]]
        with pymongo.MongoClient(
            settings.mongo_uri.get_secret_value(),
            serverSelectionTimeoutMS=WAIT_MILLISECONDS,
            tz_aware=True,
            tzinfo=UTC,
        ) as client:
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
