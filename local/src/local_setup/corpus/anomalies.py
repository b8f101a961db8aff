"""The planted anomalies: a known few pull requests that a maintainer would want to see first.

Each kind takes an ordinary draft and turns it. The label of a planted one goes to a file of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from local_setup.corpus.changes import LARGEST, Change, spread
from local_setup.corpus.draft import Draft
from local_setup.corpus.habits import Habits
from local_setup.corpus.people import People

SPAM = (
    "FREE gift cards and followers!!! visit http://free-gifts.example/{number} NOW",
    "Best online casino bonus {number}% >>> http://lucky-spin.example",
    "Cheap watches, cheap loans, call +00 000 {number}",
    "EARN ${number} A DAY FROM HOME http://work-now.example/join?ref={number}",
)
FOREIGN = (
    "Пожалуйста, добавьте мой проект в список, спасибо большое",
    "请把我的项目加入列表，非常感谢大家的支持和帮助",
    "このリポジトリに私の作品を追加してください、お願いします",
    "أرجو إضافة مشروعي إلى القائمة وشكرا جزيلا لكم جميعا",
    "Por favor, agreguen mi proyecto a la lista, muchísimas gracias a todos",
)
SENSITIVE = (
    ".github/workflows/ci.yml",
    ".github/workflows/release.yml",
    "setup.py",
    "package.json",
    "scripts/install.sh",
    "Dockerfile",
    "vendor/tool.bin",
)


def huge_change(draft: Draft, habits: Habits, people: People, rng: Random) -> None:
    """A few hundred thousand lines in thousands of files in one commit: a vendored tree."""
    additions = min(LARGEST, 60_000 + int(rng.expovariate(1 / 90_000)))
    count = rng.randrange(800, 4000)
    draft.change = Change(additions, rng.randrange(2_000, 60_000), count, 1)
    draft.paths = [f"third_party/lib{n % 17}/part_{n:04}.{habits.endings[0]}" for n in range(300)]
    draft.title, draft.body = rng.choice(("update", "Import sources", "wip")), None


def newcomer_ci(draft: Draft, habits: Habits, people: People, rng: Random) -> None:
    """Somebody unknown edits workflows, installers and a binary, and says nothing about it."""
    draft.author = people.newcomer()
    count = rng.randrange(2, 5)
    draft.change = Change(rng.randrange(20, 220), rng.randrange(0, 30), count, rng.randrange(2, 7))
    draft.paths = rng.sample(SENSITIVE, count)
    draft.title = rng.choice(("Improve build", "fix ci", "Update workflow permissions", "ci tweak"))
    draft.body, draft.branch, draft.fork = "", f"patch-{rng.randrange(1, 9)}", True


def spam(draft: Draft, habits: Habits, people: People, rng: Random) -> None:
    """Advertising in title and body, a line or two in the README."""
    draft.author = people.newcomer()
    lines = [rng.choice(SPAM).format(number=rng.randrange(100, 999)) for _ in range(4)]
    draft.title, draft.body = lines[0], "\r\n".join(lines[1:] * rng.randrange(1, 12))
    draft.change = Change(rng.randrange(1, 5), rng.randrange(0, 2), 1, 1)
    draft.paths = ["README.md"]
    draft.branch, draft.fork = "patch-1", True


def foreign_text(draft: Draft, habits: Habits, people: People, rng: Random) -> None:
    """Title and body in a language, often a script, that nobody else uses there."""
    draft.author = people.newcomer()
    text = rng.choice(FOREIGN)
    draft.title, draft.body = text[:60], "。".join([text] * rng.randrange(1, 6))
    draft.change = Change(rng.randrange(1, 40), rng.randrange(0, 3), 1, rng.randrange(1, 12))
    draft.paths = ["docs/list.md"]
    draft.branch, draft.fork = habits.default_branch, True


def readme_vandalism(draft: Draft, habits: Habits, people: People, rng: Random) -> None:
    """Nearly the whole README deleted through the web editor."""
    draft.author = people.newcomer()
    draft.title = rng.choice(("Update README.md", "Delete README.md", "hacked by nobody lol"))
    draft.body = rng.choice((None, "", "aaaaaaaaaaaaaaaaaaaaaa", "lol"))
    draft.change = Change(rng.randrange(0, 3), rng.randrange(150, 900), 1, 1)
    draft.paths = ["README.md"]
    draft.branch, draft.fork = f"patch-{rng.randrange(1, 4)}", True


def odd_hour_mass_change(draft: Draft, habits: Habits, people: People, rng: Random) -> None:
    """An ordinary account changes hundreds of files while its team sleeps: a stolen token."""
    draft.author = rng.choice(people.regulars)
    count = rng.randrange(150, 700)
    draft.change = Change(rng.randrange(200, 2_000), rng.randrange(3_000, 20_000), count, 1)
    draft.paths = None
    draft.title, draft.body = rng.choice(("cleanup", "misc", ".", "sync")), None
    draft.branch = f"tmp-{rng.randrange(10**6)}"


KINDS: dict[str, Callable[[Draft, Habits, People, Random], None]] = {
    "huge_change": huge_change,
    "newcomer_ci": newcomer_ci,
    "spam": spam,
    "foreign_text": foreign_text,
    "readme_vandalism": readme_vandalism,
    "odd_hour_mass_change": odd_hour_mass_change,
}


ODD_HOUR_KINDS = frozenset({"odd_hour_mass_change"})
"""Opened twelve hours off the repository's usual middle of the day."""


def plant(kind: str, draft: Draft, habits: Habits, people: People, rng: Random) -> None:
    """Turn ``draft`` into an anomaly of ``kind`` and list its files."""
    draft.label = kind
    KINDS[kind](draft, habits, people, rng)
    if draft.paths:
        spread(draft.change, draft.paths[: draft.change.changed_files], rng)
