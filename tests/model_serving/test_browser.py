"""The pages in a real browser, clicked through, with hostile text in the list."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from artifact import pull_request
from service_process import ServiceProcess
from webdriver import Browser

pytestmark = pytest.mark.long

HOSTILE = (
    "<script>alert('title')</script><img src=x onerror=alert(1)> \u202egnp.kcatta\u202c \"quoted\" & more"
)
TAB, ENTER, SPACE = "\ue004", "\ue007", " "


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    found = Browser(tmp_path / "profile")
    yield found
    found.close()


@pytest.fixture
def service(start: Callable[..., ServiceProcess], pr_card: None) -> ServiceProcess:
    running = start()
    for number in range(12):
        assert running.post("/predict", pull_request(number))[0] == 200
    hostile = pull_request(50) | {
        "title": HOSTILE,
        "body": HOSTILE * 5,
        "additions": 3_000_000,
        "changed_files": 900,
    }
    assert running.post("/predict", hostile)[0] == 200
    return running


@pytest.fixture
def pr_card(model_folder: Path) -> Iterator[None]:
    """A card as training writes it, for the time of a test."""
    file = model_folder / "artifacts" / "card.json"
    before = file.read_text()
    counts = [1, 3, 9, 22, 41, 60, 55, 38, 21, 12, 7, 4, 2, 2, 1, 0, 1]
    edges = [0.4 * 1.3**i for i in range(len(counts) + 1)]
    card = {
        "trained_at": "2026-11-22T10:00:00+00:00",
        "data": {"preprocess_run_id": "20261122T095501", "rows": {"train": 2400, "later": 600}},
        "threshold": {
            "rule": "mean_std",
            "mean": 2.1,
            "std": 1.2,
            "factor": 2,
            "flag_rate": {"train": 0.031, "later": 0.044},
        },
        "error_histogram": {"edges": edges, "counts": counts},
        "quality": {
            "measure": "roc_auc",
            "kinds": [
                {
                    "kind": kind,
                    "ours": ours,
                    "low": ours - 0.02,
                    "high": ours + 0.02,
                    "baseline": ours - 0.03,
                    "best_baseline": "kNN",
                }
                for kind, ours in (("mass_deletion", 0.97), ("foreign_text", 0.95), ("drive_by", 0.93))
            ],
        },
        "limits": "Says how unusual a pull request is, not whether it is wrong or harmful.",
    }
    file.write_text(json.dumps(card))
    yield
    file.write_text(before)


def test_the_dashboard_clicked_through(browser: Browser, service: ServiceProcess) -> None:
    browser.open(f"http://127.0.0.1:{service.port}/")
    assert not browser.alert()
    page = browser.text("main")
    assert "<script>alert('title')</script>" in page and "[U+202E]" in page
    assert browser.script("return document.querySelectorAll('main script, main img').length") == 0
    assert browser.text("#anomalous tbody tr .flag") == "unusual"
    link = browser.script("return document.querySelector('#anomalous tbody a').href")
    assert link.startswith("https://github.com/") and "/pull/51" in link
    for target in ("anomalous", "recent", "try", "card"):
        browser.click(f"nav a[href='#{target}']")
        assert browser.url.endswith(f"#{target}")
    assert "drive by" in browser.text("#card") and "0.910 to 0.950" in browser.text("#card")
    assert "2,400 train" in browser.text("#card") and browser.all("#card svg rect.beyond")
    if folder := os.environ.get("SCREENSHOT_DIR"):
        browser.script("window.scrollTo(0, 0)")
        browser.screenshot(Path(folder) / "dashboard.png")
    browser.type(
        "#pull_request",
        json.dumps(pull_request(3) | {"title": "<b onclick=alert(1)>x</b>", "additions": 777_777}),
    )
    browser.click("form button")
    browser.wait_for("#try .result")
    assert "of the pull requests learned from" in browser.text("#try .result")
    browser.type("#pull_request", "broken")
    browser.click("form button")
    browser.wait_for("#try .problem")
    assert "JSON" in browser.text("#try .problem")
    assert not browser.alert()
    refused = [line for line in browser.console() if "favicon" not in line and "400" not in line]
    assert refused == []


def test_by_keyboard_alone(browser: Browser, service: ServiceProcess) -> None:
    browser.open(f"http://127.0.0.1:{service.port}/")
    browser.press(TAB)
    assert browser.focused("className") == "skip"
    seen = set()
    for _ in range(80):
        browser.press(TAB)
        seen.add(browser.focused("id") or browser.focused("tagName"))
        if browser.focused("id") == "pull_request":
            break
    assert "pull_request" in seen
    browser.press(*json.dumps(pull_request(4)))
    browser.press(TAB)
    assert browser.focused("tagName") == "BUTTON"
    browser.press(ENTER)
    browser.wait_for("#try .result")


def test_light_and_dark(tmp_path: Path, service: ServiceProcess) -> None:
    colours = []
    for dark in (False, True):
        browser = Browser(tmp_path / f"profile-{dark}", dark=dark)
        try:
            browser.open(f"http://127.0.0.1:{service.port}/")
            colours.append((browser.css("body", "background-color"), browser.css("body", "color")))
            if (folder := os.environ.get("SCREENSHOT_DIR")) and dark:
                browser.screenshot(Path(folder) / "dashboard-dark.png")
        finally:
            browser.close()
    assert colours[0] != colours[1]


def test_without_javascript(tmp_path: Path, service: ServiceProcess) -> None:
    browser = Browser(tmp_path / "profile", javascript=False)
    try:
        browser.open(f"http://127.0.0.1:{service.port}/")
        browser.type("#pull_request", json.dumps(pull_request(3)))
        browser.click("form button")
        browser.wait_for("#try .result")
        browser.open(f"http://127.0.0.1:{service.port}/docs")
        assert "needs JavaScript" in browser.text("noscript")
    finally:
        browser.close()


def test_a_call_tried_on_the_page_of_the_api(browser: Browser, service: ServiceProcess) -> None:
    browser.open(f"http://127.0.0.1:{service.port}/docs")
    browser.wait_for("#operations[data-ready]")
    browser.click("#op-predict summary")
    browser.click("#op-predict form button")
    browser.wait_for("#op-predict pre")
    for _ in range(100):
        if browser.text("#op-predict pre"):
            break
    assert browser.text("#op-predict pre").startswith("200 OK")
    assert "reconstruction_error" in browser.text("#op-predict pre")
    assert [line for line in browser.console() if "favicon" not in line] == []
    if folder := os.environ.get("SCREENSHOT_DIR"):
        browser.screenshot(Path(folder) / "docs.png")
