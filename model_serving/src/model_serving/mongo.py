"""One worker's connection with MongoDB, which is left alone for a while after it has failed.

The collection `scores` holds three kinds of documents, told apart by `kind`:

    score      _id "OWNER/NAME#NUMBER": the last score of a pull request with title, address and reasons
    delivery   _id "delivery:ID": a webhook delivery that was taken, so that a second one is ignored (see `deliveries`)
    writeback  _id "writeback:status:OWNER/NAME@SHA" or "writeback:comment:OWNER/NAME#NUMBER": whose turn it is to
               write there, and which result was written last

All expire (`expires_at`, a TTL index).
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stage_runtime.exits import WrongSettings
from stage_runtime.logs import get_logger

from model_serving.settings import Settings


class Away(Exception):
    """MongoDB does not answer, or did not a moment ago."""


def open_mongo(settings: Settings) -> Mongo | None:
    """The connection that the settings name, None where they name none; nothing is contacted yet.

    Raises WrongSettings for what the driver refuses. Its texts may hold a piece of the password: not shown.
    """
    uri = settings.mongo_uri.get_secret_value()
    if not uri:
        return None
    try:
        return Mongo(uri, settings.mongo_db, settings.scores_collection, settings.mongo_timeout_seconds)
    except Exception:
        raise WrongSettings(
            "MONGO_URI: expected an address such as mongodb://host:27017, with the special characters of user and "
            "password percent-encoded, and names of a database and a collection in MONGO_DB and SCORES_COLLECTION; "
            "found one that the driver refuses. It is not shown, because it may hold a password."
        ) from None


class Mongo:
    """The collection. Safe to use from several threads; make it after the fork."""

    def __init__(self, uri: str, database: str, collection: str, timeout_seconds: float) -> None:
        # Imported here: half a second that a service without MongoDB need not spend.
        import pymongo
        from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

        self.duplicate: type[Exception] = DuplicateKeyError
        self.bulk_error: type[Any] = BulkWriteError
        self.replace_one = pymongo.ReplaceOne
        self._failure: type[Exception] = PyMongoError
        milliseconds = max(1, int(timeout_seconds * 1000))
        with warnings.catch_warnings():
            # What the driver takes for an option may be a piece of a password.
            warnings.simplefilter("ignore")
            self._client: Any = pymongo.MongoClient(
                uri,
                serverSelectionTimeoutMS=milliseconds,
                connectTimeoutMS=milliseconds,
                socketTimeoutMS=milliseconds,
                timeoutMS=milliseconds,
                connect=False,
                tz_aware=True,
                appname="model_serving",
            )
        self._collection = self._client[database][collection]
        self._lock = threading.Lock()
        self._indexed = False
        self._rest_until = 0.0
        self._pause = max(timeout_seconds, 1.0) * 5
        self.answers = False

    @contextmanager
    def collection(self) -> Iterator[Any]:
        """The collection, for one call or a few; raises Away for any failure but a duplicate key's."""
        if time.monotonic() < self._rest_until:
            raise Away("MongoDB failed a moment ago")
        try:
            yield self._collection
        except self.duplicate:
            self.answers = True
            raise
        except self._failure as error:
            # The message may hold the server's address with its credentials: the class is enough.
            self._failed(type(error).__name__)
            raise Away(type(error).__name__) from None
        self.answers = True

    def make_indexes(self) -> None:
        """Once a process; raises Away."""
        with self._lock:
            if self._indexed:
                return
            with self.collection() as scores:
                scores.create_index("expires_at", expireAfterSeconds=0)
                scores.create_index([("kind", 1), ("scored_at", -1)])
                scores.create_index([("kind", 1), ("anomaly_score", -1), ("times_threshold", -1)])
            self._indexed = True

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def _failed(self, kind: str) -> None:
        if self.answers or not self._rest_until:
            get_logger().warning("MongoDB does not answer: scores are not shared", error=kind)
        self.answers = False
        self._rest_until = time.monotonic() + self._pause
