"""A read-only MongoDB for benchmarks: documents from a file, as fast as a socket takes them.

    with document_source(path) as uri: ...        # path: as write_documents wrote it

The embedded MongoDB looks at the whole collection for each part that is read, so with it a benchmark of a million
documents would measure that. This answers what the Spark connector and pymongo ask when they read, over ranges of
_id, and nothing else. A process of its own, on loopback; ends with the block.
"""

from __future__ import annotations

import mmap
import os
import signal
import socketserver
import struct
import subprocess
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bson

BATCH_BYTES = 8_000_000
HELLO = {
    "ismaster": True,
    "isWritablePrimary": True,
    "helloOk": True,
    "maxBsonObjectSize": 16_777_216,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
    "minWireVersion": 0,
    "maxWireVersion": 17,
    "readOnly": True,
    "ok": 1.0,
}
UNKNOWN_STAGE = {
    "ok": 0.0,
    "code": 40324,
    "codeName": "Location40324",
    "errmsg": "Unrecognized pipeline stage",
}


def write_documents(documents: Iterable[dict[str, Any]], path: Path) -> int:
    """Write documents (any order) as BSON in the order of their _id; how many."""
    # The contract's _id is an int64, which pymongo writes only when told to.
    whole = ({**document, "_id": bson.Int64(document["_id"])} for document in documents)
    raw = sorted(((document["_id"], bson.encode(document)) for document in whole), key=lambda pair: pair[0])
    with path.open("wb") as out:
        out.writelines(content for _, content in raw)
    return len(raw)


@contextmanager
def document_source(path: Path) -> Iterator[str]:
    """The server as a process of its own; its URI."""
    server = subprocess.Popen([sys.executable, __file__, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield f"mongodb://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.terminate()
        server.wait()


class Documents:
    """Documents in a mapped file, by position."""

    def __init__(self, path: Path) -> None:
        self.data = mmap.mmap(os.open(path, os.O_RDONLY), 0, prot=mmap.PROT_READ)
        self.starts, self.ids = array("q"), array("q")
        start = 0
        while start < len(self.data):
            self.starts.append(start)
            # _id is the first field, an int64: type 0x12, "_id", its value.
            self.ids.append(struct.unpack_from("<q", self.data, start + 9)[0])
            start += struct.unpack_from("<i", self.data, start)[0]
        self.starts.append(start)

    def range(self, match: dict[str, Any]) -> tuple[int, int]:
        """Positions whose _id is in {"$gte", "$lt"}."""
        bounds = match.get("_id", {})
        first = bisect_left(self.ids, bounds["$gte"]) if "$gte" in bounds else 0
        end = bisect_left(self.ids, bounds["$lt"]) if "$lt" in bounds else len(self.ids)
        return first, end

    def batch(self, first: int, end: int, limit: int) -> tuple[bytes, int]:
        """A BSON array of documents from ``first`` on, at most ``limit`` and BATCH_BYTES; the next position."""
        parts, size, position = [], 0, first
        while position < end and position - first < limit and size < BATCH_BYTES:
            content = self.data[self.starts[position] : self.starts[position + 1]]
            parts.append(b"\x03%d\x00%b" % (position - first, content))
            size += len(content)
            position += 1
        body = b"".join(parts) + b"\x00"
        return struct.pack("<i", len(body) + 4) + body, position


class Connection(socketserver.StreamRequestHandler):
    """One client; cursors belong to it, as a driver's cursors keep to their connection or are never resumed."""

    documents: Documents
    cursors: dict[int, tuple[int, int]] = {}  # noqa: RUF012 - shared: getMore may come over another connection

    def handle(self) -> None:
        while len(head := self.rfile.read(16)) == 16:
            length, request, _, kind = struct.unpack("<iiii", head)
            body = self.rfile.read(length - 16)
            if kind == 2004:  # OP_QUERY: the drivers' first hello
                start = body.index(b"\x00", 4) + 9
                self._send(
                    request, 1, struct.pack("<iqii", 8, 0, 0, 1) + self._answer(bson.decode(body[start:]))
                )
            else:
                self._send(request, 2013, b"\x00\x00\x00\x00\x00" + self._answer(bson.decode(body[5:])))

    def _send(self, request: int, kind: int, body: bytes) -> None:
        self.wfile.write(struct.pack("<iiii", 16 + len(body), 0, request, kind) + body)

    def _answer(self, command: dict[str, Any]) -> bytes:
        name = next(iter(command))
        if name == "aggregate":
            return self._aggregate(command)
        if name == "find":
            backwards = command.get("sort", {}).get("_id") == -1
            end = len(self.documents.ids)
            limit = command.get("limit") or end
            first = end - 1 if backwards else 0
            return self._cursor(command, first, min(end, first + limit))
        if name == "getMore":
            return self._page(command["getMore"], command["collection"], command, "nextBatch")
        if name in {"hello", "isMaster", "ismaster"}:
            return bson.encode(HELLO)
        return bson.encode({"ok": 1.0})

    def _aggregate(self, command: dict[str, Any]) -> bytes:
        stages = {next(iter(stage)): next(iter(stage.values())) for stage in command["pipeline"]}
        if "$collStats" in stages:
            return bson.encode(UNKNOWN_STAGE)
        first, end = self.documents.range(stages.get("$match", {}))
        if "$group" in stages:
            reply = {"firstBatch": [{"_id": 1, "n": end - first}], "id": bson.Int64(0), "ns": "b.c"}
            return bson.encode({"cursor": reply, "ok": 1.0})
        first = min(end, first + stages.get("$skip", 0))
        return self._cursor(command, first, min(end, first + stages.get("$limit", end)))

    def _cursor(self, command: dict[str, Any], first: int, end: int) -> bytes:
        number = int.from_bytes(os.urandom(7), "little") + 1
        self.cursors[number] = (first, end)
        batch = command.get("cursor", command).get("batchSize", 101)
        return self._page(number, command[next(iter(command))], {"batchSize": batch}, "firstBatch")

    def _page(self, number: int, collection: str, options: dict[str, Any], name: str) -> bytes:
        first, end = self.cursors.pop(number)
        array_of_documents, position = self.documents.batch(
            first, end, options.get("batchSize") or end - first
        )
        more = number if position < end else 0
        if more:
            self.cursors[number] = (position, end)
        rest = bson.encode({"id": bson.Int64(more), "ns": f"b.{collection}"})[4:]
        cursor = b"\x04" + name.encode() + b"\x00" + array_of_documents + rest
        whole = b"\x03cursor\x00" + struct.pack("<i", len(cursor) + 4) + cursor + bson.encode({"ok": 1.0})[4:]
        return struct.pack("<i", len(whole) + 4) + whole


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


def main() -> None:
    """Serve the file named on the command line; prints the port."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    Connection.documents = Documents(Path(sys.argv[1]))
    with Server(("127.0.0.1", 0), Connection) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
