import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest
from model_registry.artifacts import local_folder
from model_registry.object_store import S3Access
from model_registry.registry import ModelVersion
from stage_runtime.exits import ServiceUnreachable, UnusableInput, WrongSettings

PROXIED = "/api/2.0/mlflow-artifacts/artifacts"


class Store(ThreadingHTTPServer):
    """A folder by MLflow's artifact proxy, and by the two S3 calls that a download takes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.listing: list[dict[str, Any]] | None = None
        self.cut = False


class Handler(BaseHTTPRequestHandler):
    server: Store

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == PROXIED:
            folder = self.server.folder / query["path"]
            files = self.server.listing or [
                {"path": file.name, "is_dir": file.is_dir()} for file in sorted(folder.iterdir())
            ]
            self._send(json.dumps({"files": files}).encode())
        elif parts.path.startswith(PROXIED + "/"):
            self._send((self.server.folder / unquote(parts.path.removeprefix(PROXIED + "/"))).read_bytes())
        elif query.get("list-type") == "2":
            keys = [
                f"<Contents><Key>{escape(str(file.relative_to(self.server.folder)))}</Key>"
                f"<Size>{file.stat().st_size}</Size></Contents>"
                for file in sorted(self.server.folder.rglob("*"))
                if file.is_file() and str(file.relative_to(self.server.folder)).startswith(query["prefix"])
            ]
            self._send(
                f"<ListBucketResult><IsTruncated>false</IsTruncated>{''.join(keys)}</ListBucketResult>".encode()
            )
        else:
            self._send((self.server.folder / unquote(parts.path).split("/", 2)[2]).read_bytes())

    def _send(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if self.server.cut and len(data) > 2000 else data)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files as MLflow lays a model out; the store says 1 for its version."""
    folder = tmp_path_factory.mktemp("models") / "1"
    for name, size in (
        ("MLmodel", 100),
        ("artifacts/network.onnx", 30_000),
        ("code/pr_features/__init__.py", 40),
    ):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(range(20)) * (size // 20))
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def store(model_folder: Path) -> Iterator[Store]:
    server = Store(model_folder.parent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def address(store: Store) -> str:
    return f"http://127.0.0.1:{store.server_address[1]}"


def version(location: str) -> ModelVersion:
    return ModelVersion("m", "1", location)


def test_a_local_store_is_used_in_place(model_folder: Path, tmp_path: Path) -> None:
    for location in (str(model_folder), model_folder.as_uri()):
        assert local_folder(version(location), "sqlite:///x", tmp_path / "cache", S3Access()) == model_folder
    assert not (tmp_path / "cache").exists()


def test_a_local_store_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match="expected its artifact folder"):
        local_folder(version(str(tmp_path / "gone")), "sqlite:///x", tmp_path, S3Access())


@pytest.mark.parametrize(
    "form", ["mlflow-artifacts:/1", "mlflow-artifacts://{host}/1", "{base}" + PROXIED + "/1"]
)
def test_a_download_through_the_server(store: Store, model_folder: Path, tmp_path: Path, form: str) -> None:
    base = address(store)
    found = version(form.format(base=base, host=base.removeprefix("http://")))
    folder = local_folder(found, base, tmp_path, S3Access())
    assert content(folder) == content(model_folder)
    store.folder = tmp_path / "nothing-is-asked-again"
    assert local_folder(found, base, tmp_path, S3Access()) == folder
    assert [entry.name for entry in tmp_path.iterdir()] == [folder.name]


def test_a_download_from_s3(store: Store, model_folder: Path, tmp_path: Path) -> None:
    access = S3Access(address(store), "key", "secret")
    folder = local_folder(version("s3://bucket/1"), "http://x", tmp_path, access)
    assert content(folder) == content(model_folder)
    assert "secret" not in repr(access)


def test_a_download_that_breaks_off_leaves_nothing(store: Store, tmp_path: Path) -> None:
    store.cut = True
    with pytest.raises(ServiceUnreachable, match="broke off"):
        local_folder(version("mlflow-artifacts:/1"), address(store), tmp_path, S3Access())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["../../evil", "/etc/evil"])
def test_a_path_out_of_the_folder_is_refused(store: Store, tmp_path: Path, path: str) -> None:
    store.listing = [{"path": path, "is_dir": False}]
    with pytest.raises(UnusableInput, match="leads out of its folder"):
        local_folder(version("mlflow-artifacts:/1"), address(store), tmp_path / "cache", S3Access())
    assert not (tmp_path / "evil").exists()


def test_an_empty_or_unknown_store(store: Store, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    store.folder = tmp_path
    with pytest.raises(UnusableInput, match="expected files"):
        local_folder(version("mlflow-artifacts:/empty"), address(store), tmp_path / "cache", S3Access())
    with pytest.raises(WrongSettings, match="gs"):
        local_folder(version("gs://bucket/x"), address(store), tmp_path / "cache", S3Access())
    with pytest.raises(ServiceUnreachable, match="bucket"):
        local_folder(version("s3://bucket/x"), "http://x", tmp_path, S3Access("http://127.0.0.1:9", "k", "s"))
