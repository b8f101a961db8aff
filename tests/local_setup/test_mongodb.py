"""The embedded MongoDB as pymongo and the Spark connector use it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pymongo
import pytest
from local_setup import mongodb
from local_setup.errors import ServerFailed
from pymongo import InsertOne, ReplaceOne, UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, OperationFailure


def day(number: int) -> dt.datetime:
    return dt.datetime(2024, 1, number, tzinfo=dt.UTC)


@pytest.fixture
def collection(mongo_uri: str) -> Any:
    with pymongo.MongoClient[dict[str, Any]](mongo_uri, tz_aware=True) as client:
        client.drop_database("test")
        yield client["test"]["pulls"]


def test_current_pymongo_accepts_it_and_it_listens_on_loopback_only(mongo_uri: str) -> None:
    with pymongo.MongoClient[dict[str, Any]](mongo_uri) as client:
        assert client.server_info()["version"] == "5.0.0"
    port = f"{int(mongo_uri.rsplit(':', 1)[1]):04X}"
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    lines = [line.split() for path in tables if path.exists() for line in path.read_text().splitlines()]
    listening = [line[1].split(":")[0] for line in lines if line[1].endswith(f":{port}") and line[3] == "0A"]
    assert listening
    assert all(address.endswith("0100007F") for address in listening)


def test_bulk_upserts_keep_64_bit_ids(collection: Collection[dict[str, Any]]) -> None:
    writes = [UpdateOne({"_id": 5_000_000_000 + n}, {"$set": {"n": n}}, upsert=True) for n in range(2500)]
    assert collection.bulk_write(writes, ordered=False).upserted_count == 2500
    assert collection.bulk_write(writes, ordered=False).upserted_count == 0
    assert collection.count_documents({}) == 2500
    assert collection.find_one({"_id": 5_000_002_499}) == {"_id": 5_000_002_499, "n": 2499}


def test_never_replaces_newer_by_older_in_one_bulk(collection: Collection[dict[str, Any]]) -> None:
    """The form that the README names: the update's time in the filter, 11000 = something newer is there."""
    collection.insert_one({"_id": 1, "updated_at": day(5), "title": "stored"})

    def upsert(number: int, updated: dt.datetime, title: str) -> ReplaceOne[dict[str, Any]]:
        document = {"updated_at": updated, "title": title}
        return ReplaceOne({"_id": number, "updated_at": {"$lte": updated}}, document, upsert=True)

    writes = [upsert(1, day(3), "older"), upsert(2, day(3), "new"), upsert(3, day(4), "also new")]
    with pytest.raises(BulkWriteError) as refused:
        collection.bulk_write(writes, ordered=False)
    assert [(one["index"], one["code"]) for one in refused.value.details["writeErrors"]] == [(0, 11000)]
    collection.bulk_write([upsert(1, day(5), "same time"), upsert(2, day(9), "newer")], ordered=False)
    titles = {found["_id"]: found["title"] for found in collection.find()}
    assert titles == {1: "same time", 2: "newer", 3: "also new"}


def test_update_pipelines_are_refused_and_not_ignored(collection: Collection[dict[str, Any]]) -> None:
    collection.insert_one({"_id": 1, "n": 1})
    with pytest.raises(OperationFailure):
        collection.update_one({"_id": 1}, [{"$set": {"n": 2}}])
    assert collection.find_one({"_id": 1}) == {"_id": 1, "n": 1}


def test_what_the_stages_ask(collection: Collection[dict[str, Any]]) -> None:
    collection.insert_many([{"_id": n, "repo": "ab"[n % 2], "at": day(n + 1)} for n in range(20)])
    newest = list(collection.find({"repo": "b"}, {"_id": 1}).sort([("at", -1), ("_id", 1)]).limit(2))
    assert [one["_id"] for one in newest] == [19, 17]
    assert len(list(collection.aggregate([{"$sample": {"size": 5}}]))) == 5
    groups = collection.aggregate([{"$group": {"_id": "$repo", "n": {"$sum": 1}, "last": {"$max": "$at"}}}])
    assert {one["_id"]: (one["n"], one["last"]) for one in groups} == {"a": (10, day(19)), "b": (10, day(20))}
    after = collection.find_one_and_update(
        {"_id": "owner/name"}, {"$set": {"cursor": "x"}}, upsert=True, return_document=True
    )
    assert after == {"_id": "owner/name", "cursor": "x"}
    collection.create_index([("repo", 1), ("at", 1)])
    assert "repo_1_at_1" in collection.index_information()
    assert collection.delete_many({"_id": {"$in": [0, 1]}}).deleted_count == 2
    assert len(list(collection.find().batch_size(7))) == 19


def test_results_beyond_a_message_come_in_batches(collection: Collection[dict[str, Any]]) -> None:
    """52 MB in all; a driver refuses a message of more than 48."""
    big = "x" * 2_000_000
    for number in range(26):
        collection.insert_one({"_id": number, "text": big})
    assert [one["_id"] for one in collection.find().sort("_id", -1)] == list(range(25, -1, -1))
    assert len(list(collection.find({"_id": {"$gte": 0}}).batch_size(5))) == 26
    assert len(list(collection.find().limit(17))) == 17
    assert len(list(collection.aggregate([{"$match": {}}, {"$project": {"text": 1}}]))) == 26
    with pytest.raises(OperationFailure, match=r"[Cc]ursor"):
        collection.database.command("getMore", 987_654, collection=collection.name)


def test_a_unique_index_is_kept(collection: Collection[dict[str, Any]]) -> None:
    collection.create_index("number", unique=True)
    with pytest.raises(BulkWriteError) as refused:
        writes = [InsertOne({"_id": one, "number": 7}) for one in (1, 2)]
        collection.bulk_write(writes, ordered=False)
    assert refused.value.details["writeErrors"][0]["code"] == 11000
    assert collection.count_documents({}) == 1


def test_unicode_and_numbers_survive(collection: Collection[dict[str, Any]]) -> None:
    document = {"_id": 1, "text": "naïve 🚀 漢字 \x00 end", "none": None, "list": [], "big": 2**62, "f": 0.1}
    collection.insert_one(dict(document))
    assert collection.find_one({"_id": 1}) == document


def test_data_stays_when_it_is_closed_and_opened_again(tmp_path: Path) -> None:
    for expected in (0, 1, 2):
        with mongodb.embedded_mongodb(tmp_path / "data") as uri, pymongo.MongoClient[Any](uri) as client:
            assert client["a"]["b"].count_documents({}) == expected
            client["a"]["b"].insert_one({"_id": expected})
            client["a"]["b"].create_index("x")


def test_a_port_in_use_is_named_with_the_next_step(mongo_uri: str, tmp_path: Path) -> None:
    port = int(mongo_uri.rsplit(":", 1)[1])
    with pytest.raises(ServerFailed, match=rf"port {port}.*Choose another --port"):
        mongodb.start(tmp_path / "data", port)


def test_a_data_folder_in_use_is_named_with_the_next_step(tmp_path: Path) -> None:
    with mongodb.embedded_mongodb(tmp_path):
        with pytest.raises(ServerFailed, match=r"Another process uses that data folder"):
            mongodb.start(tmp_path)
