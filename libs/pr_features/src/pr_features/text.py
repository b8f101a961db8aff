"""Text of a pull request as plain values: words, links and the part of a body that a person wrote.

All work is bounded: only the first MAX_CHARACTERS of a body are read and every pattern runs in linear
time, so a hostile text costs no more than a long one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MAX_CHARACTERS = 20_000
MAX_WORDS = 1_000

_WORD = re.compile(r"[^\W\d_]{2,24}")
_LINK = re.compile(r"https?://", re.IGNORECASE)
_MENTION = re.compile(r"(?<![\w/@.])@[A-Za-z0-9]")
_REFERENCE = re.compile(r"(?<![\w&])#\d")
_NOT_OWN_LINE = re.compile(r"^[ \t]*(?:#{1,6}[ \t]|[-*+] \[ \]).*$", re.MULTILINE)


def own_text(body: str) -> str:
    """The body without what a template left in it: comments, headings and unticked check boxes."""
    text = body[:MAX_CHARACTERS]
    if "<!--" in text:
        text = _without_comments(text)
    if "#" in text or "[ ]" in text:
        text = _NOT_OWN_LINE.sub("", text)
    return text.strip()


def words(text: str) -> list[str]:
    """Runs of 2 to 24 letters in lower case, at most MAX_WORDS of them."""
    return _WORD.findall(text.lower())[:MAX_WORDS]


def links(text: str) -> int:
    return len(_LINK.findall(text))


def mentions(text: str) -> int:
    return len(_MENTION.findall(text))


def references(text: str) -> int:
    """References to issues and pull requests like #12."""
    return len(_REFERENCE.findall(text))


def extension(path: str) -> str:
    """The lower-case ending of a file name with its dot, or the whole name where it has none."""
    name = path.rpartition("/")[2].lower()
    stem, dot, ending = name.rpartition(".")
    return dot + ending if dot and stem and len(ending) <= 12 else name[:24]


def terms(document: Mapping[str, Any]) -> list[str]:
    """What is counted for document frequencies: words of title and own body, endings of changed files.

    Endings carry a prefix that no word can have, so both live in one table.
    """
    text = (document.get("title") or "")[:MAX_CHARACTERS] + "\n" + own_text(document.get("body") or "")
    found = words(text)
    for file in document.get("files") or ():
        found.append("file:" + extension(file["path"]))
    return found


def _without_comments(text: str) -> str:
    parts: list[str] = []
    position = 0
    while (start := text.find("<!--", position)) >= 0:
        parts.append(text[position:start])
        end = text.find("-->", start + 4)
        if end < 0:  # GitHub hides everything behind an unclosed comment
            return "".join(parts)
        position = end + 3
    parts.append(text[position:])
    return "".join(parts)
