"""Cursors as GitHub writes them: opaque to clients, keys to the server.

A cursor of pull requests holds the sort key (time, id), not an offset: a page goes on after that
key whatever was updated meanwhile. Files and labels are counted, search results too.
"""

from __future__ import annotations

import base64
import struct

from local_setup.github_standin.clock import epoch, iso

_PREFIX = b"cursor:v2:"


def encode_key(seconds: int | None, identity: int) -> str:
    """The cursor after an item with this sort time (None: sorted by id alone)."""
    number = b"\xcf" + struct.pack(">Q", identity)
    if seconds is None:
        return _text(_PREFIX + b"\x91" + number)
    time = iso(seconds).encode()
    return _text(_PREFIX + b"\x92" + bytes([0xA0 | len(time)]) + time + number)


def decode_key(cursor: str) -> tuple[int | None, int]:
    """The key inside a cursor. Raises ValueError when it is none of ours."""
    data = _bytes(cursor)
    if not data.startswith(_PREFIX):
        raise ValueError(cursor)
    rest = data[len(_PREFIX) :]
    if rest[:1] == b"\x91":
        return None, _number(rest[1:])
    if rest[:1] != b"\x92" or len(rest) < 2:
        raise ValueError(cursor)
    length = rest[1] & 0x1F
    return epoch(rest[2 : 2 + length].decode("ascii")), _number(rest[2 + length :])


def encode_count(count: int, prefix: str = "") -> str:
    """The cursor after ``count`` items; search results carry the prefix ``cursor:``."""
    return _text(f"{prefix}{count}".encode())


def decode_count(cursor: str | None, prefix: str = "") -> int:
    """How many items lie before; 0 without a cursor. Raises ValueError."""
    if cursor is None:
        return 0
    text = _bytes(cursor).decode("ascii")
    if not text.startswith(prefix):
        raise ValueError(cursor)
    return int(text[len(prefix) :])


def _number(data: bytes) -> int:
    if len(data) != 9 or data[:1] != b"\xcf":
        raise ValueError("no id in the cursor")
    return int(struct.unpack(">Q", data[1:])[0])


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(cursor: str) -> bytes:
    return base64.b64decode(cursor, validate=True)
