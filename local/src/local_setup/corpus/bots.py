"""Pull requests of the generated bots: short, alike, and many."""

from __future__ import annotations

from random import Random

from local_setup.corpus.changes import Change, spread
from local_setup.corpus.draft import Draft
from local_setup.corpus.habits import Habits
from local_setup.corpus.people import Person

LOCK_FILES = {
    "TypeScript": ("package.json", "package-lock.json"),
    "Python": ("requirements.lock",),
    "Rust": ("Cargo.toml", "Cargo.lock"),
    "Go": ("go.mod", "go.sum"),
}


def draft(author: Person, habits: Habits, rng: Random) -> Draft:
    """What ``author``, one of the bots, opens next."""
    if author.login.startswith("depbump"):
        result = _dependency(author, habits, rng)
    elif author.login.startswith("l10n"):
        count = rng.randrange(3, 30)
        change = Change(rng.randrange(20, 900), rng.randrange(10, 500), count, 1)
        result = Draft(
            author, "Sync translations", "New translations from the translation server.",
            "l10n_main", change, "chore", fork=False,
        )  # fmt: skip
        spread(change, [f"locales/lang{n:02}.json" for n in range(count)], rng)
    else:
        version = f"{rng.randrange(1, 9)}.{rng.randrange(30)}.{rng.randrange(12)}"
        change = Change(rng.randrange(8, 90), rng.randrange(2, 12), 2, 1)
        body = f"Release notes for {version}\r\n\r\n" + "\r\n".join(
            f"* {rng.choice(habits.nouns)}: {rng.choice(habits.nouns)} (#{rng.randrange(1, 3000)})"
            for _ in range(rng.randrange(2, 14))
        )
        result = Draft(
            author, f"chore: release {version}", body, f"release-{version}", change, "chore",
            fork=False,
        )  # fmt: skip
        spread(change, ["CHANGELOG.md", "version.txt"], rng)
    return result


def _dependency(author: Person, habits: Habits, rng: Random) -> Draft:
    package = f"{rng.choice(habits.nouns)}-{rng.choice(('core', 'utils', 'client', 'types'))}"
    old = f"{rng.randrange(1, 9)}.{rng.randrange(30)}.{rng.randrange(9)}"
    major, minor, patch = old.split(".")
    new = f"{major}.{minor}.{int(patch) + 1}" if rng.random() < 0.7 else f"{major}.{int(minor) + 1}.0"
    files = LOCK_FILES.get(habits.language, ("dependencies.lock",))
    change = Change(rng.randrange(1, 30), rng.randrange(1, 30), len(files), 1)
    spread(change, list(files), rng)
    return Draft(
        author=author,
        title=f"Bump {package} from {old} to {new}",
        body=f"Bumps [{package}](https://packages.example/{package}) from {old} to {new}.\r\n\r\n"
        "<details>\r\n<summary>Release notes</summary>\r\n\r\n"
        f"- Fixes {rng.choice(habits.nouns)}\r\n- Improves {rng.choice(habits.nouns)}\r\n"
        "</details>\r\n\r\nYou can trigger a rebase by commenting `@depbump rebase`.",
        branch=f"depbump/{package}-{new}",
        change=change,
        kind="chore",
        fork=False,
    )
