"""Lets the corpus change while it is read, as it does on GitHub."""

from __future__ import annotations

from random import Random

from local_setup.github_standin.replies import Request
from local_setup.github_standin.store import Corpus


class RandomChanges:
    """Called before each request: with ``probability`` one pull request is touched, closed or added."""

    def __init__(self, corpus: Corpus, probability: float, seed: int = 0) -> None:
        self._corpus = corpus
        self._probability = probability
        self._rng = Random(f"{seed}/changes")
        self.made = 0

    def __call__(self, number: int, request: Request) -> None:
        """Maybe change something."""
        if self._rng.random() >= self._probability:
            return
        filled = [one for one in self._corpus.repositories() if len(one)]
        if not filled:
            return
        repository = self._rng.choice(filled)
        chosen = self._rng.choice(sorted(repository.entries))
        name = repository.full_name
        what = self._rng.choice(("touch", "touch", "close", "add"))
        pull = repository.pull(chosen)
        assert pull is not None, "the number was just taken from the records"
        if what == "close" and pull.get("state") == "open":
            self._corpus.close(name, chosen, merged=self._rng.random() < 0.5)
        elif what == "add":
            self._add(name, pull, max(repository.entries) + 1)
        else:
            self._corpus.update(name, chosen, title=f"{pull.get('title')} (edited)")
        self.made += 1

    def _add(self, name: str, model: dict[str, object], number: int) -> None:
        identity = self._rng.randrange(2**40, 2**45)
        self._corpus.add({**model, "number": number, "id": identity, "title": "A new one"})
        self._corpus.update(name, number)
