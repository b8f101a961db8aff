"""The data root as a folder; addresses that are none."""

import gzip
import hashlib
import socket
from pathlib import Path

import pytest
from ml_training.storage import S3Access, open_root
from stage_runtime.exits import ServiceUnreachable, WrongSettings


def test_files_are_replaced_as_a_whole(tmp_path: Path) -> None:
    root = open_root(str(tmp_path), S3Access())
    assert root.read_bytes("a", "b") is None
    root.write_bytes(b"one", "a", "b")
    root.write_bytes(b"two", "a", "b")
    assert root.read_bytes("a", "b") == b"two"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    root.delete("a", "b")
    root.delete("a", "b")
    assert root.read_bytes("a", "b") is None


def test_digest_reads_the_bytes_as_they_lie(tmp_path: Path) -> None:
    """A file called .gz must not be unpacked on the way."""
    content = gzip.compress(b"hello" * 100)
    (tmp_path / "x.gz").write_bytes(content)
    root = open_root(f"file://{tmp_path}", S3Access())
    copy = tmp_path / "copy"
    assert root.digest(copy, "x.gz") == (len(content), hashlib.sha256(content).hexdigest())
    assert copy.read_bytes() == content
    assert root.digest(None, "missing") is None


def test_folders_are_sorted(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    (tmp_path / "runs" / "file").write_text("")
    root = open_root(str(tmp_path), S3Access())
    assert root.folders("runs") == ["a", "b"]
    assert root.folders("none") == []


@pytest.mark.parametrize("address", ["s3a://", "https://example.org/x", "hdfs://a/b"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(WrongSettings, match="DATA_ROOT: expected"):
        open_root(address, S3Access())


def test_s3_out_of_reach_says_so_without_the_key() -> None:
    with socket.socket() as listener:  # bound and never listening: connections are refused
        listener.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        root = open_root("s3a://bucket/data", S3Access(endpoint, "key-id", "very-secret"))
        with pytest.raises(ServiceUnreachable, match=r"s3a://bucket/data.*DO_SPACES_ENDPOINT") as found:
            root.folders("preprocess-runs")
    assert "very-secret" not in str(found.value)
