"""Documents as odd as the contract allows, for holding Spark's rows against serving's.

What is drawn, and why:

- **text** from pieces that the code treats specially (markup, comments, check boxes, links, mentions, references,
  camelCase, words at the limit of length) between pieces that Unicode treats specially: letters that change their
  length in lower case, titlecase, ligatures, combining and zero-width characters, digits that are no digits, line
  separators that are no line feeds, right-to-left text, letters beyond 16 bits, NUL; any other characters beside them;
  empty, blank, and longer than is read.
- **times** crowded together: the same second and its neighbours, a day apart to the second (the window of the day
  before), the first and last second of months (the norms change there), fractions of seconds, merges before their own
  opening, at it, and at another's.
- **people** few, so that they have pasts: by id, by login alone, by ids beyond 32 and 53 bits, nobody.
- **repositories** whose names differ in case only.
- **counts** none, 0, 1 and the largest; **lists of files** absent, empty, with paths of any script and no ending.
- every field that may be null is null at times.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

PIECES = (
    *"fix parser Fixes the getHTTPResponse XMLHttp aB ab a the the".split(),
    *(
        "<!--",
        "-->",
        "<!-- a -->",
        "## head",
        "#\tx",
        "- [ ] open",
        "* [x] done",
        "#12",
        "x#1",
        "&#39;",
        "GH-7",
        "gh-7",
    ),
    *(
        "https://a.b/pull/3",
        "HTTP://X",
        "www.x",
        "WWW.",
        "/issues/1",
        "@who",
        "a@b.c",
        "@-",
        "`code`",
        "```\n",
        "\t",
    ),
    *(
        "İstanbul",
        "ǅungla",
        "ﬁx",
        "Straße",
        "ΑΣ",
        "e\u0301",
        "n\u0303o",
        "\u200b",
        "\u00ad",
        "\ufeff",
        "ñ",
        "Ａ",
    ),
    *(
        "²³",
        "١٢٣",
        "Ⅷ",
        "\u2028",
        "\u2029",
        "\x85",
        "\x0b",
        "\x1c",
        "\r\n",
        "\r",
        "\x00",
        "\x1b[0m",
        "\ufffd",
        "\uffff",
    ),
    *(
        "исправить",
        "修正バグ",
        "한국어",
        "مرحبا بالعالم",
        "שלום",
        "𝒻𝒾𝓍",
        "🎉",
        "👩‍👩‍👧",
        "a" * 24,
        "b" * 25,
        "ü" * 25,
    ),
)
_any_character = st.characters(exclude_categories=["Cs"])
_piece = st.one_of(st.sampled_from(PIECES), st.sampled_from(PIECES), st.text(_any_character, max_size=8))
_separator = st.sampled_from([" ", " ", " ", "\n", "", "-", "_", "/"])
_short = st.lists(st.tuples(_piece, _separator), max_size=12).map(lambda parts: "".join(map("".join, parts)))
_blank = st.sampled_from(["", " ", "\n\n", "\u3000", "<!-- only -->", "- [ ] \n"])
# Repeated to a length around that of a title or body that is read no further.
_huge = st.builds(
    lambda piece, length: (piece * (length // max(1, len(piece)) + 1))[:length],
    st.sampled_from([*PIECES, "word ", "fix the parser\n", "é ", "- [ ] x\n"]).filter(len),
    st.sampled_from([999, 1_000, 1_001, 19_999, 20_000, 20_001, 60_000]),
)
texts = st.one_of(st.none(), _blank, _short, _short, _short, _huge)
names = st.one_of(
    st.none(),
    st.sampled_from(["main", "patch-1", "Patch-2", "dependabot/npm/x-1.2", "v1.x", "fix-parser", "feature/ΑΣ_fix"]),
    _short.filter(len).map(lambda name: name[:1_000]),
)  # fmt: skip

_MOMENTS = [
    datetime(2008, 1, 1, tzinfo=UTC),
    datetime(2016, 2, 29, 23, 59, 59, tzinfo=UTC),
    datetime(2020, 1, 31, 23, 59, 59, tzinfo=UTC),
    datetime(2020, 2, 1, tzinfo=UTC),
    datetime(2020, 12, 31, 12, tzinfo=UTC),
    datetime(2021, 1, 1, tzinfo=UTC),
]
_steps = st.sampled_from([0, 0, 1, -1, 86_399, 86_400, 86_401, -86_400, 2_678_400, 40_000_000])
_fractions = st.sampled_from([0, 0, 1_000, 999_000])
moments = st.builds(
    lambda moment, seconds, fraction: moment + timedelta(seconds=seconds, microseconds=fraction),
    st.sampled_from(_MOMENTS), _steps, _fractions,
)  # fmt: skip
counts = st.one_of(
    st.none(), st.sampled_from([0, 0, 1, 2, 2**31 - 1]), st.integers(0, 5_000), st.integers(0, 2**31 - 1)
)
_ids = st.sampled_from([None, 1, 2, 3, 2**31, 2**53 + 1, 2**62])
_logins = st.sampled_from([None, "ann", "Ann", "bob[bot]", "ghost"])
_paths = st.one_of(
    st.sampled_from(
        [".github/workflows/x.yml", "a.py", "SETUP.py", "tool.EXE", "x/.gitignore", "Makefile", "ü/ß.İ"]
    ),
    st.text(_any_character, min_size=1, max_size=30),
)
files = st.one_of(
    st.none(),
    st.lists(st.fixed_dictionaries({"path": _paths, "additions": counts, "deletions": counts}), max_size=4),
)

documents: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "repo_name": st.sampled_from(["a/b", "a/b", "A/b", "a/B", "some/other"]),
        "title": texts,
        "body": texts,
        "state": st.sampled_from([None, "open", "closed"]),
        "created_at": moments,
        "updated_at": st.one_of(st.none(), moments),
        "closed_at": st.one_of(st.none(), moments),
        "merged_at": st.one_of(st.none(), moments),
        "additions": counts,
        "deletions": counts,
        "changed_files": counts,
        "commits_count": counts,
        "assignees_count": counts,
        "labels": st.one_of(st.none(), st.lists(st.sampled_from(["bug", "ü", "x y"]), max_size=3)),
        "author_association": st.sampled_from([None, "NONE", "MEMBER"]),
        "author_id": _ids,
        "author_login": _logins,
        "author_type": st.sampled_from([None, "User", "Bot", "Organization"]),
        "head_ref": names,
        "base_ref": names,
        "is_draft": st.sampled_from([None, True, False]),
        "is_cross_repository": st.sampled_from([None, True, False]),
        "files": files,
        "source": st.just("rest"),
    }
)
