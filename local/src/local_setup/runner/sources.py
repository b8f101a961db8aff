"""Where pull requests come from: the generated corpus, files, or GitHub itself."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from local_setup.errors import CorpusError, LocalSetupError
from local_setup.github_standin import DEFAULT_TOKEN, Corpus, GitHubStandIn, Limits, serve
from local_setup.runner.workspace import Workspace, write_json

# A stand-in that imports a million pull requests has no reason to make its only caller wait.
UNLIMITED = Limits(core=10**9, graphql=10**9, rest_a_minute=10**9, graphql_a_minute=10**9)
WARNINGS = 10


class Opened(NamedTuple):
    """Settings for data_fetch, and how many lines of the files the stand-in could not serve."""

    settings: dict[str, str]
    unusable: int


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
            raise LocalSetupError("give CORPUS or GITHUB_REPOS, not both: one OUT holds one corpus")
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
            raise LocalSetupError(
                f"nothing to fetch into {workspace.out}: give CORPUS=export.jsonl.gz or GITHUB_REPOS=owner/name"
            )
        write_json(remembered, asdict(source))
        return source

    @contextmanager
    def opened(self, workspace: Workspace) -> Iterator[Opened]:
        """The source ready to be fetched from; the stand-in serves a corpus for the length of the block."""
        if self.repos:
            if not os.environ.get("GITHUB_TOKEN"):
                raise LocalSetupError(
                    "GITHUB_REPOS needs GITHUB_TOKEN: make a fine-grained token with read access to public"
                    " repositories on GitHub's page Settings > Developer settings, and export it"
                )
            yield Opened({"GITHUB_REPOS": self.repos}, 0)
            return
        corpus = Corpus()
        for name in self.corpus:
            corpus.load(Path(name))
        for reason in corpus.unusable[:WARNINGS]:
            print(f"warning: not served, no pull request: {reason}", file=sys.stderr)
        if corpus.unusable_count > WARNINGS:
            print(f"warning: {corpus.unusable_count} such lines in all", file=sys.stderr)
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
            yield Opened(settings, corpus.unusable_count)
