"""One repository of the corpus: its pull requests packed in memory, in the orders that lists have.

A record stays the JSON it came as, compressed with a dictionary of its repository (300 to 900 bytes
each); only its sort keys are held beside it.
"""

from __future__ import annotations

import json
import zlib
from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import Any

from local_setup.github_standin.clock import epoch

Pull = dict[str, Any]
Key = tuple[int, int, int]
"""(epoch seconds, id, number): the order of a list, ties broken by id as GitHub does."""

DICTIONARY_BYTES = 32_768


class _Entry:
    """What is known of one pull request without unpacking it."""

    __slots__ = ("blob", "created", "identity", "state", "updated")

    def __init__(self, identity: int, created: int, updated: int, state: str, blob: bytes) -> None:
        self.identity = identity
        self.created = created
        self.updated = updated
        self.state = state
        self.blob = blob


@dataclass
class Repository:
    """One repository. ``facts`` is GitHub's REST object of it, ``blocked`` answers 451."""

    full_name: str
    identity: int
    facts: dict[str, Any]
    blocked: bool = False
    spoilt: set[int] = field(default_factory=set)
    by_created: list[Key] = field(default_factory=list)
    by_updated: list[Key] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: {"OPEN": 0, "CLOSED": 0, "MERGED": 0})
    entries: dict[int, _Entry] = field(default_factory=dict)
    dictionary: bytes = b""

    def __len__(self) -> int:
        return len(self.entries)

    def state_of(self, number: int) -> str:
        """OPEN, CLOSED or MERGED."""
        return self.entries[number].state

    def pull(self, number: int) -> Pull | None:
        """The REST object, or None."""
        entry = self.entries.get(number)
        if entry is None:
            return None
        pull = self._unpack(entry.blob)
        facts = pull["base"]["repo"]
        if facts["full_name"] != self.full_name:
            rename_facts(facts, self.full_name)
            head = (pull.get("head") or {}).get("repo")
            if head and head.get("id") == facts.get("id"):
                rename_facts(head, self.full_name)
        return pull

    def put(self, pull: Pull) -> None:
        """Store a pull request in place of the one of its number."""
        number, identity = pull["number"], pull["id"]
        created = epoch(pull["created_at"])
        updated = epoch(pull.get("updated_at") or pull["created_at"])
        merged = pull.get("merged_at") is not None
        state = "MERGED" if merged else "OPEN" if pull.get("state") == "open" else "CLOSED"
        text = json.dumps(pull, ensure_ascii=False, separators=(",", ":")).encode()
        if not self.dictionary:
            self.dictionary = text[-DICTIONARY_BYTES:]
        self.drop(number)
        self.entries[number] = _Entry(identity, created, updated, state, self._pack(text))
        self.counts[state] += 1
        _add(self.by_created, (created, identity, number))
        _add(self.by_updated, (updated, identity, number))

    def drop(self, number: int) -> None:
        """Forget a pull request, if it is there."""
        entry = self.entries.pop(number, None)
        if entry is None:
            return
        self.counts[entry.state] -= 1
        _remove(self.by_created, (entry.created, entry.identity, number))
        _remove(self.by_updated, (entry.updated, entry.identity, number))

    def _pack(self, text: bytes) -> bytes:
        packer = zlib.compressobj(1, wbits=-15, zdict=self.dictionary)
        return packer.compress(text) + packer.flush()

    def _unpack(self, blob: bytes) -> Pull:
        text = zlib.decompressobj(wbits=-15, zdict=self.dictionary).decompress(blob)
        pull: Pull = json.loads(text)
        return pull


def rename_facts(facts: dict[str, Any], full_name: str) -> None:
    """Give a record's repository the name that it has now."""
    owner, name = full_name.split("/")
    facts.update(full_name=full_name, name=name)
    if facts.get("owner"):
        facts["owner"] = {**facts["owner"], "login": owner}


def _add(keys: list[Key], key: Key) -> None:
    if not keys or key > keys[-1]:
        keys.append(key)
    else:
        insort(keys, key)


def _remove(keys: list[Key], key: Key) -> None:
    position = bisect_left(keys, key)
    if position < len(keys) and keys[position] == key:
        del keys[position]
