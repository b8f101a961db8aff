"""The people of a generated repository: regulars, returning visitors, newcomers, bots."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from local_setup.corpus.habits import Habits
from local_setup.corpus.words import LOGIN_FIRST, LOGIN_SECOND

VISITORS_REMEMBERED = 400
"""How many earlier visitors may come back: keeps memory bounded whatever the corpus's size."""

BOTS = ("depbump[bot]", "l10n-sync[bot]", "release-train[bot]")


@dataclass
class Person:
    """An account. ``merged`` counts its merged pull requests in this repository so far."""

    login: str
    account_id: int
    kind: str
    association: str
    merged: int = 0
    opened: int = 0


@dataclass
class People:
    """Who opens pull requests in one repository; remembers who came before."""

    habits: Habits
    rng: Random
    regulars: list[Person] = field(default_factory=list)
    bots: list[Person] = field(default_factory=list)
    visitors: list[Person] = field(default_factory=list)
    accounts: int = 0

    def __post_init__(self) -> None:
        for rank in range(self.habits.regulars):
            association = "OWNER" if rank == 0 else self.rng.choice(("MEMBER", "COLLABORATOR"))
            self.regulars.append(self._account("User", association))
        for number, login in enumerate(BOTS):
            self.bots.append(Person(login, 49_000_000 + number, "Bot", "CONTRIBUTOR"))

    def author(self) -> Person:
        """Draw who opens the next ordinary pull request."""
        draw = self.rng.random()
        if draw < self.habits.bot_share:
            return self.bots[min(int(self.rng.expovariate(1.6)), len(self.bots) - 1)]
        if draw < self.habits.bot_share + self.habits.newcomer_share:
            if self.visitors and self.rng.random() < 0.45:
                return self.rng.choice(self.visitors)
            return self.newcomer()
        rank = int(self.rng.paretovariate(0.9)) - 1
        return self.regulars[rank % len(self.regulars)]

    def newcomer(self) -> Person:
        """Somebody who was never here."""
        person = self._account("User", "NONE")
        if len(self.visitors) < VISITORS_REMEMBERED:
            self.visitors.append(person)
        else:
            self.visitors[self.rng.randrange(VISITORS_REMEMBERED)] = person
        return person

    def _account(self, kind: str, association: str) -> Person:
        self.accounts += 1
        # Unique over all repositories without any shared state: the id encodes both counters.
        account_id = 1_000_000 + self.habits.index + 1_000 * self.accounts
        login = f"{self.rng.choice(LOGIN_FIRST)}-{self.rng.choice(LOGIN_SECOND)}-{account_id}"
        return Person(login, account_id, kind, association)
