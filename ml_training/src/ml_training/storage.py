"""The data root: a folder, or ``s3a://bucket/prefix`` on any S3; the rest sees one kind of file system."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pyarrow import fs
from stage_runtime.exits import ServiceUnreachable, WrongSettings

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class S3Access:
    """How to reach S3; empty values leave it to the AWS defaults of the surroundings."""

    endpoint: str = ""
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)


@dataclass(frozen=True)
class Root:
    """A data root.

    filesystem with base is what pyarrow needs (base has no scheme and no trailing slash); shown is the
    address as the user wrote it, for messages. local says that files can be opened by path.
    """

    filesystem: fs.FileSystem
    base: str
    shown: str
    local: bool

    def path(self, *parts: str) -> str:
        """Path within the file system."""
        return "/".join([self.base, *parts])

    def read_bytes(self, *parts: str) -> bytes | None:
        """Content of a file; None where there is none."""
        with self._translated():
            if self.filesystem.get_file_info(self.path(*parts)).type != fs.FileType.File:
                return None
            with self.filesystem.open_input_stream(self.path(*parts), compression=None) as stream:
                return bytes(stream.read())

    def write_bytes(self, content: bytes, *parts: str) -> None:
        """Replace a file as a whole: a reader sees the old content or the new one, never half."""
        with self._translated():
            target = self.path(*parts)
            if not self.local:
                with self.filesystem.open_output_stream(target, compression=None) as stream:
                    stream.write(content)
                return
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            waiting = f"{target}.new"
            Path(waiting).write_bytes(content)
            Path(waiting).replace(target)

    def delete(self, *parts: str) -> None:
        """Delete a file, if it is there."""
        with self._translated():
            if self.filesystem.get_file_info(self.path(*parts)).type == fs.FileType.File:
                self.filesystem.delete_file(self.path(*parts))

    def folders(self, *parts: str) -> list[str]:
        """Names of the folders in a folder, sorted; none where it does not exist."""
        selector = fs.FileSelector(self.path(*parts), allow_not_found=True)
        with self._translated():
            found = self.filesystem.get_file_info(selector)
        return sorted(info.base_name for info in found if info.type == fs.FileType.Directory)

    def digest(self, target: Path | None, *parts: str) -> tuple[int, str] | None:
        """(bytes, SHA-256) of a file, copied to ``target`` on the way where one is given; None without it."""
        with self._translated():
            if self.filesystem.get_file_info(self.path(*parts)).type != fs.FileType.File:
                return None
            found, size = hashlib.sha256(), 0
            copy = open(target, "wb") if target is not None else None
            try:
                with self.filesystem.open_input_stream(self.path(*parts), compression=None) as stream:
                    while chunk := stream.read(CHUNK_BYTES):
                        found.update(chunk)
                        size += len(chunk)
                        if copy is not None:
                            copy.write(chunk)
            finally:
                if copy is not None:
                    copy.close()
        return size, found.hexdigest()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self.local:
                raise
            raise _s3_error(self.shown, error) from error


def open_root(address: str, access: S3Access) -> Root:
    """Open a data root. Raises WrongSettings for an address that is neither a folder nor s3."""
    parts = urlsplit(address)
    if parts.scheme in {"s3", "s3a"}:
        if not parts.netloc:
            raise WrongSettings(f"DATA_ROOT: expected s3a://bucket/prefix, found {address!r}")
        base = f"{parts.netloc}{parts.path}".rstrip("/")
        return Root(_s3(access), base, address.rstrip("/"), local=False)
    if parts.scheme not in {"", "file"}:
        raise WrongSettings(f"DATA_ROOT: expected a folder or s3a://bucket/prefix, found {address!r}")
    folder = Path(parts.path if parts.scheme else address).absolute()
    return Root(fs.LocalFileSystem(), str(folder), str(folder), local=True)


def _s3(access: S3Access) -> fs.S3FileSystem:
    endpoint = urlsplit(access.endpoint) if "//" in access.endpoint else urlsplit(f"//{access.endpoint}")
    options: dict[str, object] = {"connect_timeout": 10, "request_timeout": 60}
    if access.endpoint:
        options |= {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme or "https"}
        # Elsewhere than AWS the region is a formality, but asking for it is a request that may fail.
        options["region"] = "us-east-1"
    if access.access_key:
        options |= {"access_key": access.access_key, "secret_key": access.secret_key}
    return fs.S3FileSystem(**options)


def _s3_error(shown: str, error: OSError) -> Exception:
    text = str(error)
    refused = ("ACCESS_DENIED", "InvalidAccessKeyId", "SignatureDoesNotMatch", "INVALID_ACCESS_KEY_ID")
    if any(word in text for word in refused) or "403" in text:
        return WrongSettings(
            f"{shown}: S3 refused the credentials. Check DO_SPACES_ACCESS_KEY and DO_SPACES_SECRET_KEY "
            "and what that key may do in the bucket."
        )
    return ServiceUnreachable(
        f"{shown}: S3 did not answer as expected. Check DO_SPACES_ENDPOINT and the bucket's name, "
        "then run again."
    )
