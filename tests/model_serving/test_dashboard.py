import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from model_serving.charts import error_histogram
from model_serving.dashboard import link, quality_table, visible
from werkzeug.test import Client

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\" ' \u202egnp.exe \u2066x\u2069 \x07"


class Tags(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


# As training writes it.
QUALITY = {
    "kind": "mass_deletion",
    "ours": 0.931,
    "low": 0.92,
    "high": 0.94,
    "baseline": 0.9505,
    "best_baseline": "kNN",
}


def page(client: Client) -> str:
    answer = client.get("/")
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


def test_text_of_pull_requests_never_becomes_markup(client: Client, pull: dict[str, Any]) -> None:
    client.post("/predict", json=pull | {"title": HOSTILE, "body": HOSTILE * 3, "head": {"ref": HOSTILE}})
    found = Tags(text := page(client))
    assert "script" not in found.tags and "img" not in found.tags
    assert not [name for name, _ in found.attributes if name.startswith("on") or name == "style"]
    assert "&lt;script&gt;" in text and "[U+202E]" in text and "\u202e" not in text


def test_the_policy_allows_no_script_and_nothing_from_outside(client: Client) -> None:
    headers = client.get("/").headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'") and "script" not in policy and "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
    text = page(client)
    assert "style=" not in text and "<script" not in text


def test_the_lists(client: Client, pull: dict[str, Any]) -> None:
    assert "Nothing scored yet" in page(client)
    for number, additions in ((1, 5), (2, 900_000), (3, 7)):
        client.post(
            "/predict", json=pull | {"number": number, "additions": additions, "title": f"title {number}"}
        )
    text = page(client)
    anomalous, recent = text.split('id="recent"')
    assert anomalous.index("title 2") < anomalous.index("title 1")
    assert recent.index("title 3") < recent.index("title 2") < recent.index("title 1")
    name = pull["base"]["repo"]["full_name"]
    assert f'href="https://github.com/{name}/pull/2"' in text
    assert "this one service" in text


def test_the_same_pull_request_is_listed_once(client: Client, pull: dict[str, Any]) -> None:
    for title in ("before", "after"):
        client.post("/predict", json=pull | {"title": title})
    text = page(client)
    assert "after" in text and "before" not in text


def test_the_form(client: Client, pull: dict[str, Any]) -> None:
    answer = client.post("/", data={"pull_request": json.dumps(pull)})
    text = answer.get_data(as_text=True)
    assert answer.status_code == 200 and "of the pull requests learned from" in text
    # What was pasted stands in the form again, and is kept nowhere.
    assert "Nothing scored yet" in text
    for bad, status, words in (
        ("{", 400, "no valid JSON"),
        ('{"title": 5}', 422, "title"),
        ("", 400, ""),
        ("[]", 422, ""),
    ):
        answer = client.post("/", data={"pull_request": bad})
        assert answer.status_code == status and words in answer.get_data(as_text=True)
    hostile = client.post(
        "/", data={"pull_request": '{"</textarea><script>": "\ud800"}'.encode("utf-8", "surrogatepass")}
    )
    assert "script" not in Tags(hostile.get_data(as_text=True)).tags


def test_the_card(client: Client, application: Any) -> None:
    model = application.parts.service.model
    object.__setattr__(
        model,
        "card",
        {
            "trained_at": "2026-11-22T10:00:00+00:00",
            "data": {"preprocess_run_id": "run-1", "rows": {"train": 1000, "later": 250}},
            "threshold": {
                "rule": "mean_std",
                "mean": 1.0,
                "std": 0.5,
                "factor": 2,
                "flag_rate": {"train": 0.031, "later": None},
            },
            "error_histogram": {"edges": [0.1, 1.0, 10.0, 100.0], "counts": [5, 9, 1]},
            "quality": {"measure": "roc_auc", "kinds": [QUALITY], "mean_over_kinds": 0.931},
            "limits": "Unusual is not bad.",
        },
    )
    text = page(client)
    for words in (
        "run-1",
        "1,000 train",
        "3.10 % of train",
        "mean_std",
        "mass deletion",
        "0.920 to 0.940",
        "0.951",
        "kNN",
        "<svg",
        "Unusual is not bad.",
    ):
        assert words in text
    object.__setattr__(model, "card", {})
    assert "not said" in page(client)


@pytest.mark.parametrize("card", [{"data": 5, "threshold": [], "quality": "x", "error_histogram": None}])
def test_an_odd_card_does_no_harm(client: Client, application: Any, card: dict[str, Any]) -> None:
    object.__setattr__(application.parts.service.model, "card", card)
    assert page(client)
    object.__setattr__(application.parts.service.model, "card", {})


def test_links_are_made_of_checked_parts() -> None:
    assert link("https://github.com", {"repo_name": "a/b", "number": 3}) == "https://github.com/a/b/pull/3"
    for name in ("javascript:alert(1)//x/y", "a/b/c", 'a"/b', "a/b?x"):
        assert link("https://github.com", {"repo_name": name, "number": 3}) == ""


def test_marks_that_turn_text_around_are_shown() -> None:
    assert visible("a\u202eb\u0000c") == "a[U+202E]b[U+0000]c"
    assert visible("käse 漢字 🙂") == "käse 漢字 🙂"


def test_the_histogram() -> None:
    svg = error_histogram({"edges": [0.1, 1.0, 10.0], "counts": [3, 1]}, 1.0)
    assert svg.count("<rect") == 2 and svg.count("beyond") == 1
    assert not re.search(r"nan|inf", svg)
    for odd in (
        {},
        {"edges": [1.0], "counts": []},
        {"edges": [0, 1], "counts": [1]},
        {"edges": [1, 2], "counts": [0]},
    ):
        assert error_histogram(odd, 1.0) == ""


def test_quality_rows() -> None:
    alone = {"kind": "huge", "ours": 1, "low": 0.9, "high": 1, "baseline": None, "best_baseline": None}
    broken = [5, {}, QUALITY | {"ours": "0.9"}, QUALITY | {"kind": None}]
    assert quality_table({"kinds": [QUALITY, *broken, alone]}) == [QUALITY, alone]
    assert quality_table(None) == [] and quality_table("x") == [] and quality_table({"kinds": 5}) == []
