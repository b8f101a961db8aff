"""MongoDB: the only place that writes. Every operation may be repeated and may be killed half-way.

Collections: the documents, `rejected`, and `<documents>_checkpoints`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pymongo
from bson.codec_options import CodecOptions
from pymongo import errors
from pymongo.collection import Collection
from pymongo.operations import DeleteOne, ReplaceOne
from pymongo.write_concern import WriteConcern
from stage_runtime.exits import ServiceUnreachable

from data_fetch.mongo_errors import mongo_errors
from data_fetch.shaping import NOT_GIVEN, Document, Rejection
from data_fetch.state import Checkpoint

REJECTED = "rejected"
_DUPLICATE = 11_000
_BATCH = 500


@dataclass(frozen=True)
class Written:
    """What a batch did: new documents, replaced ones, those that were stored already, and those left
    out because a newer one is there.
    """

    inserted: int = 0
    replaced: int = 0
    same: int = 0
    superseded: int = 0


class Store:
    """The documents of one collection and what belongs to them. Safe to use from several threads."""

    def __init__(self, uri: str, database: str, collection: str, *, wait_seconds: float = 20.0) -> None:
        """Connect and prove it. Raises ServiceUnreachable or WrongSettings."""
        with mongo_errors():
            given = uri.lower()
            waits: dict[str, Any] = {
                "serverSelectionTimeoutMS": int(wait_seconds * 1000),
                "connectTimeoutMS": 10_000,
                "socketTimeoutMS": 120_000,
            }
            self._client: pymongo.MongoClient[Document] = pymongo.MongoClient(
                uri,
                appname="data_fetch",
                tz_aware=True,
                tzinfo=UTC,
                # What the address names itself wins.
                **{name: wait for name, wait in waits.items() if f"{name.lower()}=" not in given},
            )
        try:
            with mongo_errors():
                options: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)
                # A page counts as done only when it would survive the loss of a member; what the
                # address asks for itself wins.
                durable = WriteConcern(**{"w": "majority", **self._client.write_concern.document})
                base = self._client.get_database(database, options, write_concern=durable)
                self.documents: Collection[Document] = base[collection]
                self.rejected: Collection[Document] = base[REJECTED]
                self.checkpoints: Collection[Document] = base[f"{collection}_checkpoints"]
                # For counts, and for walks over a repository in the order of `_id`.
                for collected in (self.documents, self.rejected):
                    collected.create_index([("repo_name", pymongo.ASCENDING), ("_id", pymongo.ASCENDING)])
                self.checkpoints.create_index([("repository_id", pymongo.ASCENDING)])
        except BaseException:
            self._client.close()
            raise

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def write(self, documents: Sequence[Document]) -> Written:
        """Upsert by `_id`, never replacing a newer document by an older one.

        Newer is the later `updated_at`, and for the same one the later `fetched_at`. The look
        beforehand only sorts the page: what is written is guarded by itself, so another fetcher
        may write in between. New documents are inserted, not upserted under that guard, because
        servers that speak MongoDB's protocol over SQL scan everything for `_id` plus a condition.
        """
        if not documents:
            return Written()
        by_id: dict[Any, Document] = {}
        for document in documents:
            by_id[document["_id"]] = max(document, by_id.get(document["_id"], document), key=_age)
        kept = ((by_id[document["_id"]], document) for document in documents)
        alike = sum(newest is document or _same(newest, document) for newest, document in kept)
        with mongo_errors():
            stored = {d["_id"]: d for d in self.documents.find({"_id": {"$in": list(by_id)}})}
        new = [d for i, d in by_id.items() if i not in stored]
        same = [d for i, d in by_id.items() if i in stored and _same(stored[i], d)]
        changed = [d for i, d in by_id.items() if i in stored and not _same(stored[i], d)]
        seen = [d["fetched_at"] for d in same if d["fetched_at"] is not None]
        if seen:
            self.touch([d["_id"] for d in same], max(seen))
        inserted, clashes = self._insert(new)
        replaced = self._replace(changed + clashes)
        return Written(
            inserted,
            replaced,
            same=len(same) + alike - len(by_id),
            superseded=len(changed) + len(clashes) - replaced + len(documents) - alike,
        )

    def _insert(self, documents: Sequence[Document]) -> tuple[int, list[Document]]:
        """(inserted, documents that another fetcher had inserted in the meantime)."""
        if not documents:
            return 0, []
        with mongo_errors():
            try:
                self.documents.insert_many(list(documents), ordered=False)
                return len(documents), []
            except errors.BulkWriteError as error:
                details = error.details or {}
                failed = details.get("writeErrors", [])
                others = [e.get("code") for e in failed if e.get("code") != _DUPLICATE]
                if others or details.get("writeConcernErrors"):
                    raise ServiceUnreachable(
                        f"MongoDB did not take a batch of {len(documents)} documents (codes {others[:5]}); "
                        "run again."
                    ) from None
                return len(documents) - len(failed), [documents[e["index"]] for e in failed]

    def _replace(self, documents: Sequence[Document]) -> int:
        """Documents that replaced an older one."""
        if not documents:
            return 0
        operations = [ReplaceOne(_not_newer(document), document) for document in documents]
        with mongo_errors():
            return self.documents.bulk_write(operations, ordered=False).matched_count

    def reject(self, rejections: Sequence[Rejection]) -> None:
        """Keep the reasons; the same object is kept once."""
        if rejections:
            with mongo_errors():
                self.rejected.bulk_write(
                    [ReplaceOne({"_id": r.key}, r.to_document(), upsert=True) for r in rejections],
                    ordered=False,
                )

    def rejected_of(self, repo_name: str) -> set[str]:
        """The `_id` of everything rejected of a repository."""
        with mongo_errors():
            return {str(one["_id"]) for one in self.rejected.find({"repo_name": repo_name}, {"_id": 1})}

    def not_given(self, since: datetime, before: datetime) -> Iterator[tuple[str, str, int]]:
        """(key, repository, number) of what GitHub listed and did not give at a time between these two."""
        query = {"field": NOT_GIVEN, "found_at": {"$gte": since, "$lt": before}, "number": {"$ne": None}}
        with mongo_errors():
            for one in self.rejected.find(query, {"repo_name": 1, "number": 1}).sort("_id", 1):
                yield one["_id"], one["repo_name"], one["number"]

    def forgive(self, keys: Iterable[str]) -> None:
        """Remove reasons: the object could be shaped after all."""
        operations = [DeleteOne({"_id": key}) for key in keys]
        if operations:
            with mongo_errors():
                self.rejected.bulk_write(operations, ordered=False)

    def stored(self, repo_names: Iterable[str]) -> Counter[str]:
        """Pull requests of each repository that are stored, rejected, or both: each counts once.

        One look for all: a server without a real index reads everything for each count.
        """
        names = sorted(repo_names)
        found: Counter[str] = Counter()
        for start in range(0, len(names), _BATCH):
            some = {"repo_name": {"$in": names[start : start + _BATCH]}}
            found.update(self._counted(some))
            rejected: dict[str, list[int | None]] = {}
            with mongo_errors():
                for one in self.rejected.find(some, {"repo_name": 1, "number": 1}):
                    rejected.setdefault(one["repo_name"], []).append(one["number"])
            found.update({name: len(numbers) for name, numbers in rejected.items()})
            if rejected:
                both = [{"repo_name": name, "number": {"$in": some}} for name, some in rejected.items()]
                found.subtract(self._counted({"$or": both}))
        return found

    def _counted(self, query: dict[str, Any]) -> dict[str, int]:
        """How many documents there are of each repository."""
        steps: list[dict[str, Any]] = [
            {"$match": query},
            {"$group": {"_id": "$repo_name", "count": {"$sum": 1}}},
        ]
        with mongo_errors():
            return {one["_id"]: one["count"] for one in self.documents.aggregate(steps)}

    def known(self, ids: Sequence[int]) -> dict[int, tuple[datetime | None, datetime | None]]:
        """Of these ids those that are stored: id -> (updated_at, fetched_at)."""
        fields = {"updated_at": 1, "fetched_at": 1}
        with mongo_errors():
            found = self.documents.find({"_id": {"$in": list(ids)}}, fields)
            return {int(d["_id"]): (d.get("updated_at"), d.get("fetched_at")) for d in found}

    def touch(self, ids: Sequence[int], fetched_at: datetime) -> None:
        """Seen again unchanged."""
        if ids:
            with mongo_errors():
                self.documents.update_many({"_id": {"$in": list(ids)}}, {"$max": {"fetched_at": fetched_at}})

    def rename(self, old: str, new: str) -> int:
        """A repository has another name now: its documents and rejections follow."""
        with mongo_errors():
            moved = self.documents.update_many(
                {"repo_name": old}, {"$set": {"repo_name": new}}
            ).modified_count
            self.rejected.delete_many({"repo_name": old})  # found again under the new name
            return moved

    def not_seen_since(self, repo_name: str, time: datetime) -> Iterator[list[tuple[int, int]]]:
        """Batches of (id, number) of documents that were fetched before that time, or from a file."""
        return self._before(self.documents, repo_name, "fetched_at", time)

    def rejected_before(self, repo_name: str, time: datetime) -> Iterator[list[tuple[str, int | None]]]:
        """Batches of (key, number) of rejections that were found before that time."""
        return self._before(self.rejected, repo_name, "found_at", time)

    @staticmethod
    def _before(
        collection: Collection[Document], repo_name: str, field: str, time: datetime
    ) -> Iterator[list[tuple[Any, Any]]]:
        query: dict[str, Any] = {"repo_name": repo_name, "$or": [{field: {"$lt": time}}, {field: None}]}
        while True:
            with mongo_errors():
                found = list(collection.find(query, {"number": 1}).sort("_id", 1).limit(_BATCH))
            if not found:
                return
            query["_id"] = {"$gt": found[-1]["_id"]}
            yield [(one["_id"], one["number"]) for one in found]

    def remove(self, ids: Sequence[int]) -> int:
        """Delete documents."""
        if not ids:
            return 0
        with mongo_errors():
            return self.documents.delete_many({"_id": {"$in": list(ids)}}).deleted_count

    def checkpoint(self, name: str) -> Checkpoint:
        """The checkpoint under this configured name; a new one where there is none."""
        key = name.lower()
        with mongo_errors():
            found = self.checkpoints.find_one({"_id": key})
        return Checkpoint.from_document({**found, "name": key}) if found else Checkpoint(key)

    def checkpoint_by_id(self, repository_id: int, *, other_than: str) -> Checkpoint | None:
        """The same repository's checkpoint under a former name."""
        query = {"repository_id": repository_id, "_id": {"$ne": other_than}}
        with mongo_errors():
            found = self.checkpoints.find_one(query)
        return Checkpoint.from_document({**found, "name": found["_id"]}) if found else None

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint, whole."""
        with mongo_errors():
            self.checkpoints.replace_one({"_id": checkpoint.name}, checkpoint.to_document(), upsert=True)

    def forget(self, name: str) -> None:
        """Remove a checkpoint."""
        with mongo_errors():
            self.checkpoints.delete_one({"_id": name})


def _same(stored: Document, document: Document) -> bool:
    """Equal but for when it was fetched."""
    return {**stored, "fetched_at": None} == {**document, "fetched_at": None}


def _age(document: Document) -> tuple[datetime, datetime]:
    """By what the newest of several is found; a missing time is older than any."""
    never = datetime.min.replace(tzinfo=UTC)
    return document["updated_at"] or never, document["fetched_at"] or never


def _not_newer(document: Document) -> Document:
    """Matches the stored document unless it is newer than this one."""
    older: list[Document] = [{"updated_at": None}]
    updated, fetched = document["updated_at"], document["fetched_at"]
    if updated is not None:
        older.append({"updated_at": {"$lt": updated}})
        older.append({"updated_at": updated, "fetched_at": None})
        if fetched is not None:
            older.append({"updated_at": updated, "fetched_at": {"$lte": fetched}})
    return {"_id": document["_id"], "$or": older}
