"""Text as plain values, and in bounded time."""

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pr_features import text
from pr_features.facts import terms
from pr_features.history import History
from pr_features.profile import CorpusProfile
from pr_features.rows import row


@pytest.mark.parametrize(
    ("body", "own"),
    [
        ("Fixes a bug", "Fixes a bug"),
        ("<!-- describe -->\n## What\n- [ ] tests\n- [x] docs", "- [x] docs"),
        ("a <!-- b --> c <!-- d --> e", "a  c  e"),
        ("kept <!-- never closed", "kept"),
        ("#12 is an issue, no heading", "#12 is an issue, no heading"),
    ],
)
def test_own_text(body: str, own: str) -> None:
    assert text.own_text(body) == own


def test_words_of_any_script() -> None:
    assert text.words("Füge 2 Tests hinzu: исправить 修复 a") == [
        "füge",
        "tests",
        "hinzu",
        "исправить",
        "修复",
    ]


PIECES = ["fooBar", "XMLHttp", " ", "\n", "\x1c", "_", "#12", "A", "z", "Zz", "a" * 25, "B" * 24, "b" * 60]


@given(st.one_of(st.text(st.characters(max_codepoint=127)), st.lists(st.sampled_from(PIECES)).map("".join)))
def test_tables_and_patterns_say_the_same_of_ascii(said: str) -> None:
    assert text.words(said) == text.words_of_any_script(said)
    # One more character takes the way of texts beyond ASCII and changes nothing else.
    assert text.letters_and_capitals(said) == text.letters_and_capitals(said + "\u2026")
    assert text.symbols(said) + 1 == text.symbols(said + "\u2026")
    assert text.alphanumeric(said) == text.alphanumeric(said + "\u2026")
    assert text.links(said) == text.links(said + "\u2026")


def test_no_character_is_a_capital_without_being_a_letter() -> None:
    """Or the share of capitals among the letters would exceed 1, which stops a preprocessing run."""
    assert text.letters_and_capitals("\u2167\u24b6 x") == (1, 0)
    for code in range(0x110000):
        letters, capitals = text.letters_and_capitals(chr(code))
        assert capitals <= letters, hex(code)


@pytest.mark.parametrize(
    ("path", "ending"),
    [("src/A.PY", ".py"), ("Makefile", "makefile"), (".gitignore", ".gitignore"), ("a/b.tar.gz", ".gz")],
)
def test_extension(path: str, ending: str) -> None:
    assert text.extension(path) == ending


def test_counts() -> None:
    body = "see https://a.b and HTTP://c.d, cc @someone, not mail a@b.c; fixes #12, &#39; no"
    assert (text.links(body), text.mentions(body), text.refers(body)) == (2, 1, True)


@pytest.mark.parametrize(
    ("said", "refers"),
    [
        ("#12", True), ("see GH-7", True), ("gh-7", True), ("x/issues/3", True), ("a/Pull/3", True), ("a #1", True),
        ("&#39;", False), ("a#1", False), ("_#1", False), ("high-5", False), ("GH-x", False), ("/pulls/3", False),
        ("#x", False),
    ],
)  # fmt: skip
def test_references(said: str, refers: bool) -> None:
    assert text.refers(said) is refers


@pytest.mark.parametrize(
    ("said", "people"),
    [
        ("@a", 1),
        ("x @a, @b", 2),
        ("a@b.c", 0),
        ("@@a", 0),
        ("/@a", 0),
        (".@a", 0),
        ("_@a", 0),
        ("@", 0),
        ("@\u00e9", 0),
    ],
)
def test_mentions(said: str, people: int) -> None:
    assert text.mentions(said) == people


def test_terms_count_words_and_file_endings() -> None:
    document = {"title": "Add it", "body": None, "files": [{"path": "x.py"}]}
    assert terms(document) == ["add", "it", "file:.py"]


@pytest.mark.parametrize("piece", ["<!--", "- [ ", "#" * 40, "\n \t", "@", "https://", "a-", "\u202e"])
def test_hostile_text_costs_no_more_than_a_long_one(piece: str) -> None:
    body = piece * (1_000_000 // len(piece))
    started = time.process_time()
    document = {"title": body, "body": body, "created_at": datetime.now(UTC), "head_ref": body}
    profile = CorpusProfile.build(10, [("a", 3)])
    terms(document)
    row(document, History(), profile)
    # Quadratic time over these 20,000 characters would take minutes; a second is far from both.
    assert time.process_time() - started < 1.0
