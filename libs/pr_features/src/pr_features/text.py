"""Text of a pull request as plain values: words, links and the part of a body that a person wrote.

All work is bounded: only the first MAX_CHARACTERS of a body are read and every pattern runs in linear
time, so a hostile text costs no more than a long one.

Most texts are ASCII, and for those a table of 256 bytes replaces a pattern: the same values at a tenth of the
time. The patterns say what is meant, and a test holds both against each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable

MAX_CHARACTERS = 20_000
MAX_TITLE_CHARACTERS = 1_000
MAX_WORDS = 1_000
MAX_LETTERS = 24

_WORD = re.compile(r"[^\W\d_]{2,24}")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_LINK = re.compile(r"https?://|www\.", re.IGNORECASE)
# Each begins with a character that is found quickly; one pattern for all of them would try every position.
_NUMBER_SIGN = re.compile(r"#\d")
_ISSUE_PATH = re.compile(r"/(?:[iI][sS][sS][uU][eE][sS]|[pP][uU][lL][lL])/\d")
_GH = re.compile(r"\b[gG][hH]-\d")
# Before an @ or a #: then it is neither a mention nor a reference (&#39; is an apostrophe).
_INSIDE = frozenset("_/@.")
_ENTITY = frozenset("_&")
_NOT_ALPHANUMERIC = re.compile(r"[\W_]+")
# A line that a template left: a heading or an unticked check box.
_TEMPLATE_LINE = (
    *["#" * level + blank for level in range(1, 7) for blank in " \t"],
    *[bullet + " [ ]" for bullet in "-*+"],
)


def _table(mapped: Callable[[str], str]) -> bytes:
    """A table for bytes.translate; bytes beyond ASCII do not occur."""
    return bytes([ord(mapped(chr(code))) if code < 128 else 32 for code in range(256)])


def _all_but(kept: Callable[[str], bool]) -> bytes:
    """The bytes that bytes.translate is to delete so that only these characters stay."""
    return bytes([code for code in range(128) if not kept(chr(code))])


_TO_WORDS = _table(lambda c: c.lower() if c.isalpha() else " ")
_TO_CASES = _table(lambda c: "A" if c.isupper() else "a" if c.islower() else " ")
_TO_LETTERS = _table(lambda c: "a" if c.isalpha() else " ")
_TOO_LONG = b"a" * (MAX_LETTERS + 1)
_BUT_LETTERS = _all_but(str.isalpha)
_BUT_CAPITALS = _all_but(str.isupper)
_BUT_ALPHANUMERIC = _all_but(str.isalnum)
_BUT_SYMBOLS = _all_but(lambda c: not (c.isalnum() or c.isspace()))


def own_text(body: str) -> str:
    """The body without what a template left in it: comments, headings and unticked check boxes."""
    text = body[:MAX_CHARACTERS]
    if "<!--" in text:
        text = _without_comments(text)
    if "# " in text or "[ ]" in text or "#\t" in text:
        text = "\n".join(
            ["" if line.lstrip(" \t").startswith(_TEMPLATE_LINE) else line for line in text.split("\n")]
        )
    return text.strip()


def words(text: str) -> list[str]:
    """Runs of 2 to 24 letters in lower case, at most MAX_WORDS of them; camelCase is two words."""
    if not text.isascii():
        return words_of_any_script(text)
    raw = text.encode()
    if not text.islower() and b"aA" in (cases := raw.translate(_TO_CASES)):
        raw = _camel_apart(raw, cases)
    lower = raw.translate(_TO_WORDS)
    if _TOO_LONG in lower.translate(_TO_LETTERS):
        return _WORD.findall(lower.decode())[:MAX_WORDS]
    return [word for word in lower.decode().split() if len(word) > 1][:MAX_WORDS]


def words_of_any_script(text: str) -> list[str]:
    """The same by patterns, for texts beyond ASCII."""
    if not text.islower():
        text = _CAMEL.sub(" ", text).lower()
    return _WORD.findall(text)[:MAX_WORDS]


def _camel_apart(raw: bytes, cases: bytes) -> bytes:
    parts = []
    start = 0
    while (found := cases.find(b"aA", start)) >= 0:
        parts.append(raw[start : found + 1])
        start = found + 1
    parts.append(raw[start:])
    return b" ".join(parts)


def letters_and_capitals(text: str) -> tuple[int, int]:
    """How many letters a text has, and how many of them are capitals."""
    if text.isascii():
        raw = text.encode()
        return len(raw.translate(None, _BUT_LETTERS)), len(raw.translate(None, _BUT_CAPITALS))
    # Some capitals are no letters: the Roman numeral \u2167, the circled \u24b6.
    return sum(map(str.isalpha, text)), sum([c.isupper() and c.isalpha() for c in text])


def symbols(text: str) -> int:
    """Characters that are neither letter, digit nor space."""
    if text.isascii():
        return len(text.encode().translate(None, _BUT_SYMBOLS))
    return sum([not (c.isalnum() or c.isspace()) for c in text])


def alphanumeric(text: str) -> str:
    """Letters and digits of the text, in lower case."""
    text = text.lower()
    if text.isascii():
        return text.encode().translate(None, _BUT_ALPHANUMERIC).decode()
    return _NOT_ALPHANUMERIC.sub("", text)


def links(text: str) -> int:
    """Addresses in the text. Each of these counts looks for a sign first, as most texts have none."""
    if not text.isascii():
        return len(_LINK.findall(text)) if "://" in text or "www." in text.lower() else 0
    text = text.lower()
    return (text.count("http://") + text.count("https://") if "://" in text else 0) + text.count("www.")


def mentions(text: str) -> int:
    """People named with an @ that is part of no word, address or path."""
    count = 0
    at = text.find("@")
    while at >= 0:
        before, after = text[at - 1 : at], text[at + 1 : at + 2]
        count += after.isascii() and after.isalnum() and not (before.isalnum() or before in _INSIDE)
        at = text.find("@", at + 1)
    return count


def refers(text: str) -> bool:
    """Whether an issue or pull request is referred to: #12, GH-12 or an address."""
    if "#" in text:
        for found in _NUMBER_SIGN.finditer(text):
            before = text[found.start() - 1 : found.start()]
            if not (before.isalnum() or before in _ENTITY):
                return True
    if "/" in text and _ISSUE_PATH.search(text) is not None:
        return True
    return "gh-" in text.lower() and _GH.search(text) is not None


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
