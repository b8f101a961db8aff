"""Tokens and Apps: no secret is told anywhere, whatever fails, and a wrong one is told by its setting."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from data_fetch.store import Store
from fetch_harness import TOKEN, World
from local_setup.github_standin import FAULTS
from process_harness import complete, fetch
from stage_runtime.exits import StageError

AUTHOR_KEY = "an author key that is secret"


def everything(store: Store) -> str:
    """All that is stored, of every collection."""
    database = store.documents.database
    return "".join(str(one) for name in database.list_collection_names() for one in database[name].find())


def said(lines: list[dict[str, Any]]) -> str:
    return " ".join(line["event"] for line in lines)


@pytest.mark.parametrize("name", FAULTS)
def test_after_a_failure_of_each_kind_no_secret_is_anywhere(
    world: World, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """In this process, where nothing hides secrets in the log: they are not in it to begin with."""
    world.fill("acme/widget", 12)
    api = "rest" if FAULTS[name].where == "rest" else "graphql"
    world.standin.faults.script([None, None, name])
    told = ""
    try:
        world.fetch(github_api=api, page_size=2, author_privacy="hash", author_hash_key=AUTHOR_KEY)
    except StageError as error:
        told = "".join(traceback.format_exception(error))
    assert world.standin.faults.happened == {name: 1}
    assert len(world.stored()) >= 1
    text = everything(world.store) + told + "".join(capsys.readouterr())
    for secret in (TOKEN, AUTHOR_KEY, "someone-private"):
        assert secret not in text


SCRIPT = ("hang-up", "cut-connection", "truncated-json", "server-503", "server-504", "secondary-429",
          "graphql-rate-limit", "null-node", "bad-credentials")  # fmt: skip


def test_the_token_and_the_key_appear_nowhere(environ, database, github) -> None:
    """A process with a real connection, to the end of its token."""
    faults = github[0].faults
    faults.wait = 0
    faults.script(one for name in SCRIPT for one in (None, name))
    settings = {"AUTHOR_PRIVACY": "hash", "AUTHOR_HASH_KEY": AUTHOR_KEY, "LOG_LEVEL": "DEBUG"}
    code, lines, output = fetch({**environ, **settings}, "--page-size", "2")
    assert faults.happened == dict.fromkeys(SCRIPT, 1), output
    assert code == 2, output
    assert "GITHUB_TOKEN: expected a token that GitHub accepts" in said(lines)
    assert "(token 1: POST /graphql: Bad credentials)" in said(lines)
    stored = everything(database)
    assert database.documents.count_documents({}) > 0
    for secret in (TOKEN, AUTHOR_KEY, "Bearer"):
        assert secret not in output + stored
    assert "someone-private" not in stored, "the author's login is replaced by its hash"


# --- a GitHub App ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys() -> tuple[str, str, str]:
    """The App's private and public key, and the private key of another App."""
    own, other = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    public = own.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    private = [
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        for key in (own, other)
    ]
    return private[0], public.decode(), private[1]


@pytest.fixture
def app(environ: dict[str, str], github: Any, keys: tuple[str, str, str]) -> dict[str, str]:
    """The environment of a process that is installation 5 of App 77, and GitHub knows it."""
    github[0].add_app("77", keys[1], [5])
    without = {key: value for key, value in environ.items() if key != "GITHUB_TOKEN"}
    return {
        **without,
        "GITHUB_APP_ID": "77",
        "GITHUB_APP_PRIVATE_KEY": keys[0],
        "GITHUB_APP_INSTALLATIONS": "5",
        "LOG_LEVEL": "DEBUG",
    }


def no_secret(text: str, keys: tuple[str, str, str]) -> None:
    lines = [line for key in (keys[0], keys[2]) for line in key.splitlines()[1:-1]]
    for secret in ("PRIVATE KEY", "ghs_", "eyJ", "Bearer", TOKEN, *lines):
        assert secret not in text


def test_an_installation_fetches_and_tells_none_of_its_secrets(app, database, github, keys) -> None:
    faults = github[0].faults
    faults.wait = 0
    names = ["hang-up", "cut-connection", "secondary-429"]
    faults.script(one for name in names for one in (None, name))
    code, _, output = fetch(app, "--page-size", "2")
    assert code == 0, output
    assert faults.happened == dict.fromkeys(names, 1)
    assert complete(database, github[0].corpus)
    no_secret(output + everything(database), keys)


@pytest.mark.parametrize("api", ["graphql", "rest"])
@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (
            "GITHUB_APP_INSTALLATIONS",
            [
                "GITHUB_APP_INSTALLATIONS: expected installations of the App that GITHUB_APP_ID names",
                "installation 6: POST /app/installations/6/access_tokens: Not Found",
            ],
        ),
        (
            "GITHUB_APP_PRIVATE_KEY",
            ["GITHUB_APP_PRIVATE_KEY: expected the key of the App that GITHUB_APP_ID", "installation 5"],
        ),
        ("GITHUB_APP_ID", ["GITHUB_APP_PRIVATE_KEY: expected the key of the App that GITHUB_APP_ID"]),
    ],
)
def test_a_wrong_app_is_told_by_its_setting(app, database, github, keys, setting, words, api) -> None:
    wrong = {
        "GITHUB_APP_INSTALLATIONS": "6",
        "GITHUB_APP_PRIVATE_KEY": keys[2],
        "GITHUB_APP_ID": "78",
    }
    code, lines, output = fetch({**app, setting: wrong[setting], "GITHUB_API": api})
    assert code == 2, output
    for word in words:
        assert word in said(lines)
    assert "GITHUB_REPOS" not in said(lines)
    assert github[0].log.statuses[404 if setting == "GITHUB_APP_INSTALLATIONS" else 401] >= 1
    no_secret(output + everything(database), keys)


def test_a_key_that_is_none_is_told_without_its_text(app, keys) -> None:
    text = "-----BEGIN NOTHING-----\nnot-a-key-but-secret\n-----END NOTHING-----\n"
    code, lines, output = fetch({**app, "GITHUB_APP_PRIVATE_KEY": text})
    assert code == 2, output
    assert "GITHUB_APP_PRIVATE_KEY" in said(lines)
    assert "not-a-key-but-secret" not in output


def test_a_wrong_installation_beside_a_good_token_is_warned_of_and_left_out(app, database, github) -> None:
    code, lines, output = fetch({**app, "GITHUB_APP_INSTALLATIONS": "6,5", "GITHUB_TOKEN": TOKEN})
    assert code == 0, output
    assert complete(database, github[0].corpus)
    warned = [line["reason"] for line in lines if line["event"] == "a credential was refused"]
    assert len(warned) == 1
    assert "GITHUB_APP_INSTALLATIONS" in warned[0]
    assert "installation 6" in warned[0]
