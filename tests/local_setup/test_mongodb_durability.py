"""Killed at any moment, the embedded MongoDB keeps what it acknowledged and leaves no process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pymongo
import pytest
from local_setup import mongodb
from pymongo import UpdateOne
from pymongo.errors import PyMongoError

BATCH = 25


def ended(pid: int, seconds: float = 20.0) -> bool:
    """Whether the process is gone (or a zombie nobody waited for) within ``seconds``."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def write_until_it_breaks(uri: str, acknowledged: list[int]) -> None:
    """Upsert batches and note each number whose batch was acknowledged."""
    with pymongo.MongoClient[Any](uri, serverSelectionTimeoutMS=500, retryWrites=False) as client:
        pulls = client["mlops_db"]["pulls"]
        number = 0
        try:
            while True:
                numbers = range(number, number + BATCH)
                pulls.bulk_write(
                    [
                        UpdateOne({"_id": n}, {"$set": {"unique": n, "text": "x" * 200}}, upsert=True)
                        for n in numbers
                    ]
                )
                acknowledged.extend(numbers)
                number += BATCH
        except PyMongoError:
            return


@pytest.mark.parametrize("seconds", [0.5, pytest.param(1.3, marks=pytest.mark.long)])
def test_no_acknowledged_write_is_lost_when_the_jvm_is_killed(tmp_path: Path, seconds: float) -> None:
    server = mongodb.start(tmp_path)
    with pymongo.MongoClient[Any](server.uri) as client:
        client["mlops_db"]["pulls"].create_index("unique", unique=True)
    acknowledged: list[int] = []
    writer = threading.Thread(target=write_until_it_breaks, args=(server.uri, acknowledged))
    writer.start()
    while len(acknowledged) < BATCH:
        time.sleep(0.01)
    time.sleep(seconds)
    os.kill(server.pid, signal.SIGKILL)
    writer.join(30)
    server.stop()
    assert not writer.is_alive()
    with mongodb.embedded_mongodb(tmp_path) as uri, pymongo.MongoClient[Any](uri) as client:
        pulls = client["mlops_db"]["pulls"]
        stored = {one["_id"] for one in pulls.find({}, {"_id": 1})}
        assert stored >= set(acknowledged)
        # A command is kept whole or not at all, and the index agrees with the documents.
        assert len(stored) % BATCH == 0
        assert len(stored) <= len(acknowledged) + BATCH
        for number in (0, max(stored)):
            assert pulls.find_one({"unique": number})["_id"] == number
        again = range(max(stored) + 1, max(stored) + 1 + BATCH)
        pulls.insert_many([{"_id": n, "unique": n} for n in again])


CHILD = """
import os, sys, time
from pathlib import Path
import pymongo
from local_setup import mongodb
server = mongodb.start(Path(sys.argv[1]))
pymongo.MongoClient(server.uri)["a"]["b"].insert_one({"_id": 1})
if sys.argv[2] == "fork" and os.fork() == 0:
    time.sleep(60)  # holds the pipe to the JVM open
print(server.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["plain", "fork"])
def test_the_jvm_ends_when_its_python_parent_is_killed(tmp_path: Path, how: str) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
        try:
            assert ended(pid), "the JVM outlived its parent"
        finally:
            try:
                os.killpg(parent.pid, signal.SIGKILL)  # the forked child
            except ProcessLookupError:
                pass
    with mongodb.embedded_mongodb(tmp_path) as uri, pymongo.MongoClient[Any](uri) as client:
        assert client["a"]["b"].count_documents({}) == 1


INTERRUPTED = """
import signal, sys, time
from pathlib import Path
import pymongo
from local_setup import mongodb
asked = []
signal.signal(signal.SIGINT, lambda *_: asked.append(True))
server = mongodb.start(Path(sys.argv[1]))
client = pymongo.MongoClient(server.uri, serverSelectionTimeoutMS=2000)
print("ready", flush=True)
while not asked:
    time.sleep(0.01)
time.sleep(0.5)  # a database that took the signal for its own would be gone by then
client["a"]["b"].insert_one({"_id": "the unit of work that is being finished"})
server.stop()
print("finished", flush=True)
"""


def test_ctrl_c_leaves_the_database_to_the_program_that_started_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout.readline() == "finished\n"
        assert process.wait(20) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_ends_in_order_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "local_setup.mongodb", "--data", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "MongoDB listens on mongodb://127.0.0.1:" in line
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.killpg(process.pid, number)  # as a terminal does on Ctrl-C
        assert process.wait(30) == 0
        assert children
        assert all(ended(int(child)) for child in children)
