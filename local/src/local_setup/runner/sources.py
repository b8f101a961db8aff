"""Where pull requests come from: the generated corpus, files, or GitHub itself."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from local_setup.errors import CorpusError, WrongSettings
from local_setup.github_standin import DEFAULT_TOKEN, Corpus, GitHubStandIn, Limits, serve
from local_setup.runner.workspace import Workspace, write_json

# A stand-in that imports a million pull requests has no reason to make its only caller wait.
UNLIMITED = Limits(core=10**9, graphql=10**9, rest_a_minute=10**9, graphql_a_minute=10**9)
WARNINGS = 10


class Opened(NamedTuple):
    """Settings for data_fetch; how many lines the stand-in could not serve, and the files that hold them."""

    settings: dict[str, str]
    unusable: int = 0
    aside: tuple[Path, ...] = ()


class Aside:
    """The lines of one file that the stand-in cannot serve, each at its own number between empty ones.

    So what data_fetch says of a line when it rejects it is true of the file that the user gave. There
    is no file where there is no such line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last = 0

    def __call__(self, number: int, line: bytes) -> None:
        """Keep a line."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as lines:
            lines.write(b"\n" * (number - 1 - self._last) + line.rstrip(b"\n") + b"\n")
        self._last = number


@dataclass(frozen=True)
class Source:
    """Either files for the stand-in (``corpus``), or repositories of the real GitHub (``repos``)."""

    corpus: tuple[str, ...] = ()
    repos: str = ""

    @classmethod
    def choose(cls, workspace: Workspace, corpus: str, repos: str) -> Source:
        """What the user named, else what this OUT was fetched from before; remembered in source.json."""
        remembered = workspace.out / "source.json"
        if corpus and repos:
            raise WrongSettings("give CORPUS or GITHUB_REPOS, not both: one OUT holds one corpus")
        if corpus:
            files = tuple(str(Path(name).resolve()) for name in corpus.split(",") if name)
            for name in files:
                if not Path(name).is_file():
                    raise CorpusError(
                        f"CORPUS: no file {name}; expected GitHub pull requests as .jsonl or .jsonl.gz"
                    )
            source = cls(corpus=files)
        elif repos:
            source = cls(repos=repos)
        elif remembered.exists():
            content = json.loads(remembered.read_text("utf-8"))
            source = cls(tuple(content["corpus"]), content["repos"])
        else:
            raise WrongSettings(
                f"nothing to fetch into {workspace.out}: give CORPUS=export.jsonl.gz or GITHUB_REPOS=owner/name"
            )
        workspace.prepare()
        write_json(remembered, asdict(source))
        return source

    @contextmanager
    def opened(self, workspace: Workspace) -> Iterator[Opened]:
        """The source ready to be fetched from; the stand-in serves a corpus for the length of the block."""
        if self.repos:
            if not os.environ.get("GITHUB_TOKEN"):
                raise WrongSettings(
                    "GITHUB_REPOS needs GITHUB_TOKEN: make a fine-grained token with read access to public"
                    " repositories on GitHub's page Settings > Developer settings, and export it"
                )
            yield Opened({"GITHUB_REPOS": self.repos})
            return
        corpus = Corpus()
        unusable = workspace.out / "unusable"
        shutil.rmtree(unusable, ignore_errors=True)
        kept = []
        for position, name in enumerate(self.corpus):
            # A folder for each: two files of the corpus may have the same name.
            kept.append(Aside(unusable / str(position) / Path(name).name.removesuffix(".gz")))
            corpus.load(Path(name), kept[-1])
        for reason in corpus.unusable[:WARNINGS]:
            print(f"warning: not served, no pull request: {reason}", file=sys.stderr)
        if corpus.unusable_count > WARNINGS:
            print(f"warning: {corpus.unusable_count} such lines in all", file=sys.stderr)
        if not corpus.repositories():
            raise CorpusError(
                f"CORPUS: no line of {', '.join(self.corpus)} is a pull request of GitHub's REST API"
            )
        listing = workspace.out / "repositories.txt"
        listing.write_text(
            "\n".join(repository.full_name for repository in corpus.repositories()) + "\n", "utf-8"
        )
        with serve(GitHubStandIn(corpus, limits=UNLIMITED)) as url:
            settings = {
                "GITHUB_API_URL": url,
                "GITHUB_TOKEN": DEFAULT_TOKEN,
                "GITHUB_REPOS": f"@{listing}",
            }
            aside = tuple(one.path for one in kept if one.path.exists())
            yield Opened(settings, corpus.unusable_count, aside)
