"""Pull requests to send: from a file, or made up, ordinary ones, always the same."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from stage_runtime.exits import UnusableInput

COUNT = 500
WORDS = (
    "fix add update remove improve handle avoid support refactor test document the a in for when with parser cache "
    "socket connection buffer index query timeout retry error message build release config option default path file"
).split()


def load_pulls(file: Path | None, words: Sequence[str] = ()) -> list[dict[str, Any]]:
    """COUNT made up pull requests, or those of a file; raises UnusableInput naming the line that is none.

    words: what those made up are written in; a model knows the words of its own corpus alone.
    """
    if file is None:
        return [made_up(number, words or WORDS) for number in range(COUNT)]
    opened = gzip.open(file, "rt") if file.suffix == ".gz" else file.open()
    found = []
    with opened as lines:
        for number, line in enumerate(lines, start=1):
            try:
                pull = json.loads(line)
            except ValueError as error:
                raise UnusableInput(f"{file}, line {number}: expected a JSON object ({error}).") from error
            found.append(pull)
    if not found:
        raise UnusableInput(f"{file}: expected pull requests, one a line, found none.")
    return found


def made_up(number: int, words: Sequence[str] = WORDS) -> dict[str, Any]:
    """One ordinary pull request in GitHub's REST form; the same number and words give the same."""
    rng = random.Random(number)
    created = datetime(2024, 1, 8, 9, tzinfo=UTC) + timedelta(hours=7 * number)
    title = " ".join(rng.choices(words, k=rng.randint(3, 9))).capitalize()
    body = "\n\n".join(
        " ".join(rng.choices(words, k=rng.randint(15, 60))).capitalize() + "."
        for _ in range(rng.randint(1, 4))
    )
    stamp = created.strftime("%Y-%m-%dT%H:%M:%SZ")
    author = rng.randint(1, 40)
    return {
        "id": 900_000_000 + number,
        "number": number + 1,
        "state": "open",
        "title": title,
        "body": f"{body}\n\nFixes #{rng.randint(1, 900)}.",
        "created_at": stamp,
        "updated_at": stamp,
        "user": {"login": f"developer-{author}", "id": 1000 + author, "type": "User"},
        "additions": int(rng.lognormvariate(3.2, 1.2)),
        "deletions": int(rng.lognormvariate(2.2, 1.2)),
        "changed_files": rng.randint(1, 8),
        "commits": rng.randint(1, 4),
        "draft": False,
        "labels": [],
        "assignees": [],
        "author_association": "CONTRIBUTOR",
        "head": {"ref": f"{title.split()[0].lower()}-{number}", "sha": f"{number:040x}",
                 "repo": {"id": 2, "full_name": f"developer-{author}/service"}},
        "base": {"ref": "main", "sha": "0" * 40, "repo": {"id": 1, "full_name": "load-test/service"}},
    }  # fmt: skip
