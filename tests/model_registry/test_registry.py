import json
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from model_registry.registry import MlflowHttp, ModelVersion, open_registry
from stage_runtime.exits import ServiceUnreachable, UnusableInput, WrongSettings

NAME = "pr-anomaly-autoencoder"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The two tables as MLflow 3 makes them; a long test reads a real one."""
    file = tmp_path / "mlflow.db"
    with sqlite3.connect(file) as connection:
        connection.executescript(
            "CREATE TABLE registered_model_aliases (alias VARCHAR(256), version INTEGER, name VARCHAR(256));"
            "CREATE TABLE model_versions (name VARCHAR(256), version INTEGER, source VARCHAR(500),"
            " storage_location VARCHAR(500), creation_time BIGINT);"
            f"INSERT INTO model_versions VALUES ('{NAME}', 3, 'models:/m-1', '/store/m-1/artifacts', 1795400000500);"
            f"INSERT INTO model_versions VALUES ('{NAME}', 4, '/store/m-2', NULL, 1795400600000);"
            "CREATE TABLE model_version_tags (key VARCHAR(250), value TEXT, name VARCHAR(256), version INTEGER);"
            f"INSERT INTO model_version_tags VALUES ('gate', 'passed', '{NAME}', 3), ('gate', 'refused', '{NAME}', 4);"
            f"INSERT INTO registered_model_aliases VALUES ('champion', 3, '{NAME}'), ('candidate', 4, '{NAME}');"
        )
    connection.close()
    return file


def test_the_alias_of_a_sqlite_registry(database: Path) -> None:
    registry = open_registry(f"sqlite:///{database}")
    assert registry.resolve(NAME, "champion") == ModelVersion(NAME, "3", "/store/m-1/artifacts")
    assert registry.resolve(NAME, "candidate") == ModelVersion(NAME, "4", "/store/m-2")


def test_the_tags_of_a_version(database: Path) -> None:
    registry = open_registry(f"sqlite:///{database}")
    assert registry.tags(registry.resolve(NAME, "candidate")) == {"gate": "refused"}
    assert registry.tags(ModelVersion(NAME, "9", "")) == {}


def test_when_a_version_was_registered(database: Path) -> None:
    registry = open_registry(f"sqlite:///{database}")
    assert registry.registered_at(ModelVersion(NAME, "3", "")) == datetime.fromtimestamp(1795400000.5, UTC)
    with pytest.raises(UnusableInput, match="Was it deleted"):
        registry.registered_at(ModelVersion(NAME, "9", ""))


@pytest.mark.parametrize(("name", "alias"), [(NAME, "nobody"), ("other", "champion")])
def test_a_missing_alias_says_what_to_do(database: Path, name: str, alias: str) -> None:
    with pytest.raises(UnusableInput, match="ml_training gate"):
        open_registry(f"sqlite:///{database}").resolve(name, alias)


def test_a_missing_database_is_out_of_reach(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnreachable, match="found none"):
        open_registry(f"sqlite:///{tmp_path}/nothing.db").resolve(NAME, "champion")


def test_another_database_is_a_wrong_setting(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "empty.db").executescript("CREATE TABLE x (y)")
    (tmp_path / "text.db").write_text("no database at all, but a long enough text to be read as one")
    for name, words in (("empty.db", "tables of MLflow"), ("text.db", "database of MLflow")):
        with pytest.raises(WrongSettings, match=words):
            open_registry(f"sqlite:///{tmp_path}/{name}").resolve(NAME, "champion")


def test_another_kind_of_address() -> None:
    with pytest.raises(WrongSettings, match="postgresql"):
        open_registry("postgresql://user:pw@host/db")


class Replies(BaseHTTPRequestHandler):
    """Replies as MLflow 3.17 gave them: status and body by path."""

    replies: ClassVar[dict[str, tuple[int, Any]]] = {}
    seen: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        type(self).seen.append((self.path, self.headers.get("Authorization")))
        key = parts.path.removeprefix("/api/2.0/mlflow/")
        alias = parse_qs(parts.query).get("alias", [""])[0]
        status, body = self.replies.get(f"{key} {alias}".strip(), (404, "<html>"))
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Replies.seen = []
    Replies.replies = {
        "registered-models/alias champion": (200, {"model_version": {"name": NAME, "version": "5"}}),
        "model-versions/get-download-uri": (200, {"artifact_uri": "mlflow-artifacts:/1/models/m-5/artifacts"}),
        "model-versions/get": (
            200,
            {
                "model_version": {
                    "version": "5", "creation_timestamp": 1795400000500, "tags": [{"key": "gate", "value": "passed"}],
                }
            },
        ),
        "registered-models/alias candidate": (
            400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "Registered model alias candidate not found."},
        ),
        "registered-models/alias gone": (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "not found"}),
        "registered-models/alias old": (404, {"error_code": "ENDPOINT_NOT_FOUND"}),
        "registered-models/alias broken": (500, "Internal error"),
        "registered-models/alias secret": (401, "who are you"),
    }  # fmt: skip
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Replies)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def test_the_alias_of_a_server(server: str) -> None:
    found = open_registry(server).resolve(NAME, "champion")
    assert found == ModelVersion(NAME, "5", "mlflow-artifacts:/1/models/m-5/artifacts")


def test_the_tags_of_a_version_on_a_server(server: str) -> None:
    registry = open_registry(server)
    assert registry.tags(ModelVersion(NAME, "5", "")) == {"gate": "passed"}
    assert registry.registered_at(ModelVersion(NAME, "5", "")) == datetime.fromtimestamp(1795400000.5, UTC)
    Replies.replies["model-versions/get"] = (200, {"model_version": {"version": "5"}})
    assert registry.tags(ModelVersion(NAME, "5", "")) == {}
    Replies.replies["model-versions/get"] = (404, {"error_code": "RESOURCE_DOES_NOT_EXIST"})
    with pytest.raises(UnusableInput, match="Was it deleted"):
        registry.tags(ModelVersion(NAME, "6", ""))


@pytest.mark.parametrize(
    ("alias", "error", "words"),
    [
        ("candidate", UnusableInput, "found none"),
        ("gone", UnusableInput, "found none"),
        ("old", WrongSettings, "MLflow 2.3"),
        ("broken", ServiceUnreachable, "HTTP 500"),
        ("secret", WrongSettings, "refused the credentials"),
        ("html", WrongSettings, "expected an MLflow server"),
    ],
)
def test_what_a_server_may_say(server: str, alias: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        open_registry(server).resolve(NAME, alias)


def test_credentials_are_sent_and_never_shown(server: str) -> None:
    address = server.replace("http://", "http://user:s3cret@")
    open_registry(address).resolve(NAME, "champion")
    assert Replies.seen[0][1] == "Basic dXNlcjpzM2NyZXQ="
    with pytest.raises(ServiceUnreachable) as caught:
        open_registry(address).resolve(NAME, "broken")
    assert "s3cret" not in str(caught.value)
    assert MlflowHttp("http://u:p@[::1]:5000/x/").base == "http://[::1]:5000/x"


def test_a_server_that_does_not_answer() -> None:
    with pytest.raises(ServiceUnreachable, match="did not answer"):
        open_registry("http://127.0.0.1:9").resolve(NAME, "champion")
