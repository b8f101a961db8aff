"""Where pull requests come from: the generated corpus, files, or GitHub itself."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from local_setup.errors import CorpusError, LocalSetupError
from local_setup.runner.workspace import Workspace, write_json


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
    def settings(self, workspace: Workspace) -> Iterator[dict[str, str]]:
        """Settings for data_fetch; a corpus is served by the stand-in for the length of the block."""
        if self.repos:
            if not os.environ.get("GITHUB_TOKEN"):
                raise LocalSetupError(
                    "GITHUB_REPOS needs GITHUB_TOKEN: make a fine-grained token with read access to public"
                    " repositories on GitHub's page Settings > Developer settings, and export it"
                )
            yield {"GITHUB_REPOS": self.repos}
            return
        from local_setup.github_standin import serving  # only here: it loads the whole corpus

        names = repository_names(self.corpus)
        listing = workspace.out / "repositories.txt"
        listing.write_text("\n".join(names) + "\n", "utf-8")
        with contextlib.ExitStack() as stack:
            standin: Any = stack.enter_context(serving([Path(name) for name in self.corpus]))
            yield {
                "GITHUB_API_URL": standin.url,
                "GITHUB_TOKEN": standin.token,
                "GITHUB_REPOS": f"@{listing}",
            }


def repository_names(files: Sequence[str]) -> list[str]:
    """Full names of all repositories in the files, sorted."""
    names = set()
    for name in files:
        opened = (
            gzip.open(name, "rt", encoding="utf-8") if name.endswith(".gz") else open(name, encoding="utf-8")
        )
        with opened as lines:
            for line in lines:
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    names.add(str(json.loads(line)["base"]["repo"]["full_name"]))
    return sorted(names)
