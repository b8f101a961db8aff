"""Both stores keep the same promises; the S3 is one of loopback that knows conditional writes, or does not."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest
from drift_detection.store import FolderStore, S3Store, Store, open_store, read_address
from model_registry.object_store import S3Access
from stage_runtime.exits import ServiceUnreachable, UnusableInput, WrongSettings


class S3(ThreadingHTTPServer):
    """The few calls that are used, over a dictionary."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        self.lock = threading.Lock()
        self.conditional = True
        self.refuses: int | None = None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: S3

    def _say(self, status: int, body: bytes = b"", code: str = "") -> None:
        if code:
            body = f"<Error><Code>{code}</Code></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix("/bucket/")

    def do_GET(self) -> None:
        if self.server.refuses:
            return self._say(self.server.refuses, code="AccessDenied")
        parts = urlsplit(self.path)
        if parts.path.rstrip("/") != "/bucket":
            found = self.server.objects.get(self._key())
            return self._say(404, code="NoSuchKey") if found is None else self._say(200, found)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
        keys = sorted(key for key in self.server.objects if key.startswith(prefix))
        folders: list[str] = []
        if delimiter:
            inside = [key for key in keys if delimiter in key.removeprefix(prefix)]
            folders = sorted(
                {prefix + key.removeprefix(prefix).split(delimiter)[0] + delimiter for key in inside}
            )
            keys = [key for key in keys if key not in inside]
        moment = "2026-11-23T03:00:00.000Z"
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{moment}</LastModified></Contents>"
            for key in keys
        )
        entries += "".join(
            f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in folders
        )
        self._say(200, f"<ListBucketResult>{entries}</ListBucketResult>".encode())

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("x-amz-decoded-content-length"):  # "size;signature\r\ncontent\r\n0;..."
            size = int(self.headers["x-amz-decoded-content-length"])
            body = body.split(b"\r\n", 1)[1][:size]
        conditional = self.headers.get("If-None-Match") == "*"
        if conditional and not self.server.conditional:
            return self._say(501, code="NotImplemented")
        with self.server.lock:
            if conditional and self._key() in self.server.objects:
                return self._say(412, code="PreconditionFailed")
            self.server.objects[self._key()] = body
        self._say(200)

    def do_DELETE(self) -> None:
        self.server.objects.pop(self._key(), None)
        self._say(204)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def s3() -> Iterator[S3]:
    server = S3()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def access(server: S3) -> S3Access:
    return S3Access(f"http://127.0.0.1:{server.server_address[1]}", "key", "secret")


@pytest.fixture(params=["folder", "s3", "s3 without conditional writes"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return FolderStore(tmp_path)
    server: S3 = request.getfixturevalue("s3")
    server.conditional = request.param == "s3"
    return open_store("s3a://bucket/some/prefix", access(server))


def test_objects_come_back_and_are_replaced_whole(store: Store) -> None:
    assert store.read("a/b.json") is None
    store.write("a/b.json", b"one")
    store.write("a/b.json", b"two")
    assert store.read("a/b.json") == b"two"
    store.delete("a/b.json")
    store.delete("a/b.json")
    assert store.read("a/b.json") is None


def test_what_is_there(store: Store) -> None:
    for path in ("runs/2/report.json", "runs/1/report.json", "runs/1/report.html", "runs/latest.json"):
        store.write(path, b"x")
    assert [entry.path for entry in store.entries("runs/1")] == ["runs/1/report.html", "runs/1/report.json"]
    assert store.folders("runs") == ["1", "2"]
    assert store.entries("nothing") == [] and store.folders("nothing") == []
    assert all(
        entry.modified.tzinfo is not None and entry.modified <= datetime.now(UTC)
        for entry in store.entries("runs")
    )


def test_only_one_of_several_makes_an_object(store: Store) -> None:
    assert store.create("claim.json", b"first")
    assert not store.create("claim.json", b"second")
    assert store.read("claim.json") == b"first"


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_even_at_the_same_moment(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    made: Store = FolderStore(tmp_path)
    if kind == "s3":
        made = open_store("s3a://bucket/p", access(request.getfixturevalue("s3")))
    with ThreadPoolExecutor(10) as pool:
        claimed = list(pool.map(lambda number: made.create("claim", str(number).encode()), range(10)))
    assert sum(claimed) == 1
    assert made.read("claim") == str(claimed.index(True)).encode()


def test_a_refused_key_and_a_dead_address(s3: S3) -> None:
    s3.refuses = 403
    with pytest.raises(WrongSettings, match="DO_SPACES_ACCESS_KEY") as refused:
        open_store("s3a://bucket/p", access(s3)).read("x")
    assert "secret" not in str(refused.value)
    dead = S3Store("bucket", "", S3Access("http://127.0.0.1:9", "key", "secret"))
    with pytest.raises(ServiceUnreachable, match="DO_SPACES_ENDPOINT"):
        dead.read("x")


@pytest.mark.parametrize("address", ["gs://bucket/x", "s3a://"])
def test_another_kind_of_address(address: str) -> None:
    with pytest.raises(WrongSettings, match="s3a://bucket/prefix"):
        open_store(address, S3Access())


def test_a_folder_shows_no_unfinished_file(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.write("a/b", b"x")
    (tmp_path / "a" / ".c.unfinished").write_bytes(b"")
    assert [entry.path for entry in store.entries("a")] == ["a/b"]


def test_an_object_named_by_hand(store: Store, s3: S3, tmp_path: Path) -> None:
    store.write("some/rows.parquet", b"in the root")
    file = tmp_path / "elsewhere.parquet"
    file.write_bytes(b"a file")
    s3.objects["other/key"] = b"in a bucket"
    assert read_address("some/rows.parquet", store, S3Access()) == b"in the root"
    assert read_address(str(file), store, S3Access()) == b"a file"
    assert read_address("s3a://bucket/other/key", store, access(s3)) == b"in a bucket"
    with pytest.raises(UnusableInput, match="found none"):
        read_address("nothing", store, S3Access())
