"""Fixtures and options of all tests."""

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fail-on-skip",
        action="store_true",
        help="a skipped test fails the run: for CI, where everything that tests need is installed",
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("--fail-on-skip") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def pr_data() -> Path:
    """The folder of real pull requests and recorded replies, which is never part of this repository."""
    folder = os.environ.get("PR_DATA_DIR")
    if not folder:
        pytest.skip("PR_DATA_DIR is not set: no real pull requests to test with")
    path = Path(folder).resolve()
    if not path.is_dir():
        pytest.fail(f"PR_DATA_DIR={folder} is not a folder")
    return path


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of this checkout."""
    return Path(__file__).resolve().parent.parent
