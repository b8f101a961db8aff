"""The data root: a folder, or a bucket with a prefix on any S3. Small objects, read and written whole."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from model_registry.object_store import S3Access, s3_client
from stage_runtime.exits import ServiceUnreachable, UnusableInput, WrongSettings
from stage_runtime.logs import get_logger


@dataclass(frozen=True)
class Entry:
    """An object: path relative to the root, and when it was written."""

    path: str
    modified: datetime


class Store(Protocol):
    """A data root. Paths are relative to it and use slashes."""

    shown: str

    def read(self, path: str) -> bytes | None:
        """Content; None where there is no such object."""

    def write(self, path: str, content: bytes) -> None:
        """Make or replace: a reader sees the old content or the new one, never half."""

    def create(self, path: str, content: bytes) -> bool:
        """Make, unless it exists already; says whether this call made it. Of several at once one does."""

    def delete(self, path: str) -> None:
        """Delete, if it is there."""

    def entries(self, folder: str) -> list[Entry]:
        """All objects below the folder, in the order of their paths."""

    def folders(self, folder: str) -> list[str]:
        """Names of the folders in a folder, sorted."""


def open_store(address: str, access: S3Access) -> Store:
    """The store at an address; raises WrongSettings for one that is neither a folder nor S3."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        return FolderStore(Path(address).absolute())
    if scheme == "file":
        return FolderStore(Path(rest))
    bucket, _, prefix = rest.partition("/")
    if scheme not in {"s3", "s3a"} or not bucket:
        raise WrongSettings(f"DATA_ROOT: expected a folder or s3a://bucket/prefix, found {address!r}")
    return S3Store(bucket, f"{prefix.strip('/')}/".lstrip("/"), access)


def read_address(address: str, store: Store, access: S3Access) -> bytes:
    """One object named by hand: s3a://bucket/key, a file, or a path within the store. Raises UnusableInput."""
    scheme, separator, rest = address.partition("://")
    if separator and scheme in {"s3", "s3a"}:
        bucket, _, key = rest.partition("/")
        content = open_store(f"s3a://{bucket}", access).read(key)
    else:
        file = Path(rest if separator else address)
        content = file.read_bytes() if file.is_file() else store.read(address)
    if content is None:
        raise UnusableInput(f"{address}: expected an object or a file, found none, in {store.shown} neither.")
    return content


class FolderStore:
    """A folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.shown = str(root)

    def read(self, path: str) -> bytes | None:
        try:
            return (self.root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, path: str, content: bytes) -> None:
        with self._written(path, content) as unfinished:
            unfinished.replace(self.root / path)

    def create(self, path: str, content: bytes) -> bool:
        with self._written(path, content) as unfinished:
            try:
                # A link, unlike a rename, fails where the name is taken.
                os.link(unfinished, self.root / path)
            except FileExistsError:
                return False
        return True

    @contextmanager
    def _written(self, path: str, content: bytes) -> Iterator[Path]:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
        try:
            unfinished.write_bytes(content)
            yield unfinished
        finally:
            unfinished.unlink(missing_ok=True)

    def delete(self, path: str) -> None:
        (self.root / path).unlink(missing_ok=True)

    def entries(self, folder: str) -> list[Entry]:
        found = []
        for file in sorted((self.root / folder).rglob("*")):
            if not file.name.startswith(".") and file.is_file():
                modified = datetime.fromtimestamp(file.stat().st_mtime, UTC)
                found.append(Entry(file.relative_to(self.root).as_posix(), modified))
        return found

    def folders(self, folder: str) -> list[str]:
        try:
            return sorted(entry.name for entry in (self.root / folder).iterdir() if entry.is_dir())
        except FileNotFoundError:
            return []


class S3Store:
    """A bucket with a prefix ("" or ending with a slash)."""

    def __init__(self, bucket: str, prefix: str, access: S3Access) -> None:
        self.bucket, self.prefix = bucket, prefix
        self.shown = f"s3a://{bucket}/{prefix}".rstrip("/")
        self.client, self._failures = s3_client(access)

    def read(self, path: str) -> bytes | None:
        def get() -> bytes | None:
            return bytes(self.client.get_object(Bucket=self.bucket, Key=self.prefix + path)["Body"].read())

        found: bytes | None = self._asked(get, absent={"NoSuchKey", "404"})
        return found

    def write(self, path: str, content: bytes) -> None:
        self._asked(lambda: self._put(path, content))

    def create(self, path: str, content: bytes) -> bool:
        def put() -> bool:
            self._put(path, content, IfNoneMatch="*")
            return True

        try:
            made = self._asked(put, absent={"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
            return bool(made)
        except _NotImplemented:
            # An S3 without conditional writes: the workflow's mutex is what keeps two from asking at once.
            get_logger().warning("The object store knows no conditional write", store=self.shown)
            if self.read(path) is not None:
                return False
            self.write(path, content)
            return True

    def _put(self, path: str, content: bytes, **conditions: str) -> None:
        self.client.put_object(Bucket=self.bucket, Key=self.prefix + path, Body=content, **conditions)

    def delete(self, path: str) -> None:
        self._asked(lambda: self.client.delete_object(Bucket=self.bucket, Key=self.prefix + path))

    def entries(self, folder: str) -> list[Entry]:
        def listed() -> list[Entry]:
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=f"{self.prefix}{folder}/"
            )
            return [
                Entry(item["Key"].removeprefix(self.prefix), item["LastModified"].astimezone(UTC))
                for page in pages
                for item in page.get("Contents", ())
            ]

        entries: list[Entry] = self._asked(listed)
        return entries

    def folders(self, folder: str) -> list[str]:
        start = f"{self.prefix}{folder}/"

        def listed() -> list[str]:
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=start, Delimiter="/"
            )
            return sorted(
                item["Prefix"].removeprefix(start).rstrip("/")
                for page in pages
                for item in page.get("CommonPrefixes", ())
            )

        names: list[str] = self._asked(listed)
        return names

    def _asked(self, call: Callable[[], Any], absent: set[str] | None = None) -> Any:
        """The call's result; None for an answer in ``absent``; other failures as StageError."""
        try:
            return call()
        except self._failures as error:
            answer = getattr(error, "response", {})
            code = str(answer.get("Error", {}).get("Code", ""))
            status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            if absent and (code in absent or str(status) in absent):
                return None
            if code == "NotImplemented" or status == 501:
                raise _NotImplemented from error
            if status in {401, 403} or code == "NoSuchBucket":
                raise WrongSettings(
                    f"{self.shown}: S3 refused ({code or status}). Check DO_SPACES_ACCESS_KEY, "
                    "DO_SPACES_SECRET_KEY and the bucket in DATA_ROOT, and what that key may do there."
                ) from None
            raise ServiceUnreachable(
                f"{self.shown}: S3 did not answer as expected ({code or type(error).__name__}). "
                "Check DO_SPACES_ENDPOINT, then run again."
            ) from None


class _NotImplemented(ServiceUnreachable):
    """The object store does not know this kind of call."""
