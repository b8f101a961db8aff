"""How the generated repositories differ: what each is about, how its people work and write."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from local_setup.corpus.words import DOMAINS, GENERIC, OWNERS

TITLE_STYLES = ("plain", "conventional", "bracket", "ticket", "emoji", "lower")
BRANCH_STYLES = ("kebab", "feature", "user", "ticket", "date")
BODY_STYLES = ("free", "checklist", "headings", "terse", "ticket")

LANGUAGES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    # domain: language, folders of sources, endings
    "web": ("TypeScript", ("src/components", "src/pages", "src/hooks", "styles"), ("tsx", "ts", "css")),
    "database": ("C", ("src/backend", "src/include", "src/tools"), ("c", "h", "sql")),
    "command line": ("Go", ("cmd", "internal", "pkg"), ("go",)),
    "learning": ("Python", ("src/models", "src/data", "src/training"), ("py", "ipynb")),
    "infrastructure": ("HCL", ("modules", "environments", "charts"), ("tf", "yaml", "tpl")),
    "mobile": ("Kotlin", ("app/src/main", "core/src", "feature/src"), ("kt", "xml")),
    "compiler": ("Rust", ("compiler/parse", "compiler/lower", "library/core"), ("rs",)),
    "game": ("C#", ("Assets/Scripts", "Assets/Scenes", "Engine"), ("cs", "shader", "unity")),
    "cryptography": ("C", ("src", "include", "contrib"), ("c", "h", "py")),
    "data": ("Scala", ("core/src/main", "connectors/src", "dags"), ("scala", "py", "sql")),
    "firmware": ("C++", ("drivers", "boards", "lib"), ("cpp", "h", "ld")),
    "documentation": ("Markdown", ("docs", "guides", "blog"), ("md", "mdx")),
}


@dataclass(frozen=True)
class Habits:
    """One repository. Shares are in 0..1, sizes are natural logarithms of lines."""

    index: int
    owner: str
    name: str
    domain: str
    language: str
    folders: tuple[str, ...]
    endings: tuple[str, ...]
    nouns: tuple[str, ...]
    default_branch: str
    title_style: str
    branch_style: str
    body_style: str
    ticket_prefix: str
    log_size: float
    log_size_spread: float
    deletion_ratio: float
    body_sentences: float
    empty_body_share: float
    bot_share: float
    newcomer_share: float
    regulars: int
    merge_rate: float
    review_hours: float
    busy_hour_utc: int
    weekend_share: float
    squash_share: float
    label_names: tuple[str, ...]
    stars: int
    weight: float

    @property
    def full_name(self) -> str:
        """``owner/name``."""
        return f"{self.owner}/{self.name}"


def repositories(count: int, seed: int) -> list[Habits]:
    """``count`` repositories with habits of their own; the first ones are the busiest."""
    return [_draw(index, Random(f"{seed}/repository/{index}")) for index in range(count)]


def _draw(index: int, rng: Random) -> Habits:
    domains = tuple(DOMAINS)
    domain = domains[index % len(domains)]
    language, folders, endings = LANGUAGES[domain]
    nouns = rng.sample(DOMAINS[domain], min(24, len(DOMAINS[domain]))) + rng.sample(GENERIC, 10)
    name = f"{rng.choice(DOMAINS[domain])}-{rng.choice(('kit', 'core', 'lab', 'tools', 'hub', 'box'))}"
    owner = OWNERS[index % len(OWNERS)]
    if index >= len(OWNERS):
        name = f"{name}-{index}"
    labels = ("bug", "enhancement", "documentation", "needs review", domain, "good first issue")
    return Habits(
        index=index,
        owner=f"{owner}-example",
        name=name,
        domain=domain,
        language=language,
        folders=folders,
        endings=endings,
        nouns=tuple(nouns),
        default_branch=rng.choice(("main", "main", "master", "develop")),
        title_style=TITLE_STYLES[(index + rng.randrange(2)) % len(TITLE_STYLES)],
        branch_style=rng.choice(BRANCH_STYLES),
        body_style=rng.choice(BODY_STYLES),
        ticket_prefix="".join(rng.choice("ABCDEFGHKLMNPRSTVW") for _ in range(3)),
        log_size=rng.uniform(2.2, 4.6),
        log_size_spread=rng.uniform(1.1, 1.7),
        deletion_ratio=rng.uniform(0.15, 0.6),
        body_sentences=rng.uniform(1.0, 6.0),
        empty_body_share=rng.choice((0.03, 0.08, 0.2, 0.45)),
        bot_share=rng.choice((0.0, 0.05, 0.12, 0.25)),
        newcomer_share=rng.uniform(0.05, 0.3),
        regulars=rng.randrange(4, 26),
        merge_rate=rng.uniform(0.55, 0.93),
        review_hours=rng.choice((2.0, 9.0, 30.0, 120.0)),
        busy_hour_utc=rng.choice((1, 7, 9, 14, 16, 19)),
        weekend_share=rng.choice((0.03, 0.08, 0.25)),
        squash_share=rng.uniform(0.2, 0.9),
        label_names=labels,
        stars=int(10 ** rng.uniform(1.0, 4.5)),
        weight=1.0 / (index + 2.0) ** 0.7,
    )
