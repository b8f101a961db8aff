"""Titles, bodies and branch names in the style of a repository."""

from __future__ import annotations

from random import Random

from local_setup.corpus.habits import Habits
from local_setup.corpus.words import ADJECTIVES, CIRCUMSTANCES, PLATFORMS, SENTENCES, VERBS

EMOJI = {"feat": "✨", "fix": "🐛", "docs": "📝", "refactor": "♻️", "test": "✅", "chore": "🔧"}
KINDS = tuple(VERBS)
KIND_WEIGHTS = (26, 34, 12, 14, 8, 6)


def draw_kind(rng: Random) -> str:
    """A kind of change as conventional commits name it: feat, fix, docs, refactor, test, chore."""
    return rng.choices(KINDS, KIND_WEIGHTS)[0]


def subject(habits: Habits, rng: Random, kind: str) -> str:
    """What the change does, in the imperative, without the repository's decoration."""
    words = [rng.choice(VERBS[kind])]
    if rng.random() < 0.35:
        words.append(rng.choice(ADJECTIVES))
    words += [rng.choice(habits.nouns), rng.choice(habits.nouns)]
    if rng.random() < 0.5:
        words.append(_fill(rng.choice(CIRCUMSTANCES), habits, rng))
    return " ".join(words)


def title(habits: Habits, rng: Random, kind: str, text: str) -> str:
    """The title line of ``text`` in this repository's style."""
    style = habits.title_style if rng.random() < 0.9 else "plain"
    if style == "conventional":
        scope = f"({rng.choice(habits.nouns)})" if rng.random() < 0.5 else ""
        return f"{kind}{scope}: {text[0].lower()}{text[1:]}"
    if style == "bracket":
        return f"[{rng.choice(habits.nouns)}] {text}"
    if style == "ticket":
        return f"{habits.ticket_prefix}-{rng.randrange(100, 9999)}: {text}"
    if style == "emoji":
        return f"{EMOJI[kind]} {text}"
    if style == "lower":
        return text.lower()
    return text


def branch(habits: Habits, rng: Random, kind: str, text: str, login: str) -> str:
    """The head branch of a change made in a working copy."""
    slug = "-".join(text.lower().replace("`", "").split()[:5])
    if habits.branch_style == "feature":
        return f"{'feature' if kind == 'feat' else kind}/{slug}"
    if habits.branch_style == "user":
        return f"{login.split('-')[0]}/{slug}"
    if habits.branch_style == "ticket":
        return f"{habits.ticket_prefix.lower()}-{rng.randrange(100, 9999)}"
    if habits.branch_style == "date":
        return f"{rng.randrange(2022, 2027)}-{rng.randrange(1, 13):02}-{slug}"
    return slug


def body(habits: Habits, rng: Random, text: str, *, effort: float = 1.0) -> str | None:
    """The description; ``effort`` scales its length. None where it was left empty."""
    if rng.random() < habits.empty_body_share:
        return None
    count = 1 + int(rng.expovariate(1.0 / max(0.3, habits.body_sentences * effort)))
    sentences = [_fill(rng.choice(SENTENCES), habits, rng) for _ in range(min(count, 40))]
    paragraphs = []
    while sentences:
        length = rng.randrange(1, 5)
        paragraphs.append(" ".join(sentences[:length]))
        sentences = sentences[length:]
    prose = "\r\n\r\n".join(paragraphs)
    if rng.random() < 0.3:
        prose += f"\r\n\r\nFixes #{rng.randrange(1, 3000)}"
    if rng.random() < 0.12:
        noun = rng.choice(habits.nouns).replace("-", "_")
        prose += f"\r\n\r\n```\r\n{noun} = load_{noun}(retries={rng.randrange(9)})\r\n```"
    style = habits.body_style
    if style == "checklist":
        boxes = ("I read the contributing guide", "Tests were added", "The changelog is updated")
        ticks = "\r\n".join(f"- [{'x' if rng.random() < 0.7 else ' '}] {box}" for box in boxes)
        return f"{prose}\r\n\r\n### Checklist\r\n\r\n{ticks}"
    if style == "headings":
        return (
            f"## What\r\n\r\n{text}\r\n\r\n## Why\r\n\r\n{prose}\r\n\r\n## How to test\r\n\r\nRun the tests."
        )
    if style == "ticket":
        return f"Ticket: {habits.ticket_prefix}-{rng.randrange(100, 9999)}\r\n\r\n{prose}"
    if style == "terse":
        return paragraphs[0]
    return prose


def _fill(template: str, habits: Habits, rng: Random) -> str:
    """Fill the slots of a template; a circumstance may hold slots of its own."""
    if "{circumstance}" in template:
        template = template.replace("{circumstance}", rng.choice(CIRCUMSTANCES))
    return template.format(
        noun=rng.choice(habits.nouns),
        noun2=rng.choice(habits.nouns),
        nouns=_plural(rng.choice(habits.nouns)),
        adjective=rng.choice(ADJECTIVES),
        platform=rng.choice(PLATFORMS),
        identifier=f"{rng.choice(habits.nouns)}_{rng.choice(habits.nouns)}".replace("-", "_"),
        slug=rng.choice(habits.nouns),
        count=rng.randrange(2, 900),
        count2=rng.randrange(2, 90),
        reference=rng.randrange(1, 3000),
    )


def _plural(noun: str) -> str:
    if noun.endswith(("s", "x", "sh", "ch")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeou":
        return noun[:-1] + "ies"
    return noun + "s"
