"""Text of a pull request as plain values: words, links and the part of a body that a person wrote.

All work is bounded: only the first MAX_CHARACTERS of a body are read and every pattern runs in linear
time, so a hostile text costs no more than a long one.
"""

from __future__ import annotations

import re

MAX_CHARACTERS = 20_000
MAX_TITLE_CHARACTERS = 1_000
MAX_WORDS = 1_000

_WORD = re.compile(r"[^\W\d_]{2,24}")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_LINK = re.compile(r"https?://|www\.", re.IGNORECASE)
_MENTION = re.compile(r"(?<![\w/@.])@[A-Za-z0-9]")
# Each begins with a character that is found quickly; one pattern for all of them would try every position.
_NUMBER_SIGN = re.compile(r"#\d")
_ISSUE_PATH = re.compile(r"/(?:[iI][sS][sS][uU][eE][sS]|[pP][uU][lL][lL])/\d")
_GH = re.compile(r"\b[gG][hH]-\d")
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
    """Runs of 2 to 24 letters in lower case, at most MAX_WORDS of them; camelCase is two words."""
    if not text.islower():
        text = _CAMEL.sub(" ", text).lower()
    return _WORD.findall(text)[:MAX_WORDS]


def links(text: str) -> int:
    """Addresses in the text. Each of these counts looks for a sign first, as most texts have none."""
    return len(_LINK.findall(text)) if "://" in text or "www." in text.lower() else 0


def mentions(text: str) -> int:
    return len(_MENTION.findall(text)) if "@" in text else 0


def references(text: str) -> int:
    """References to issues and pull requests: #12, GH-12 or an address."""
    count = 0
    if "#" in text:
        for found in _NUMBER_SIGN.finditer(text):
            before = text[found.start() - 1 : found.start()]
            count += not (before.isalnum() or before in ("_", "&"))
    if "/" in text:
        count += len(_ISSUE_PATH.findall(text))
    if "h-" in text or "H-" in text:
        count += len(_GH.findall(text))
    return count


def extension(path: str) -> str:
    """The lower-case ending of a file name with its dot, or the whole name where it has none."""
    name = path.rpartition("/")[2].lower()
    stem, dot, ending = name.rpartition(".")
    return dot + ending if dot and stem and len(ending) <= 12 else name[:24]


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
