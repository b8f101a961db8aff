"""The Vault client against an HTTP server that answers as Vault does, for states a real one reaches slowly.

The same client against a real Vault and a real API server: tests/servers/test_vault.py.
"""

import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr
from stage_runtime.exits import ServiceUnreachable, WrongSettings
from stage_runtime.settings import StageSettings, load_settings
from stage_runtime.vault import VaultClient, VaultSettings

IN_VAULT = {"VAULT_ADDR": "https://v", "VAULT_ROLE": "r", "VAULT_SECRET_PATH": "s/data/x"}
SECRET = {"mongo_uri": "mongodb://u:vault-pass@h/d", "github_token": "ghp_vault", "port": 7}


class FakeVault:
    """Answers by (method, path); counts what it was asked. Not a model of Vault, only of its answers."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.answers: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        self.default = {
            "POST /v1/auth/kubernetes/login": (200, self.auth("t1", 600)),
            "POST /v1/auth/token/renew-self": (200, self.auth("t1", 600)),
            "GET /v1/secret/data/mlops/base/stage": (200, {"data": {"data": SECRET, "metadata": {}}}),
        }
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                key = f"{self.command} {self.path.split('?')[0]}"
                fake.calls.append(key)
                length = int(self.headers.get("Content-Length") or 0)
                fake.bodies.append(json.loads(self.rfile.read(length) or b"{}"))
                queue = fake.answers.get(key)
                status, body = queue.pop(0) if queue else fake.default.get(key, (404, {"errors": []}))
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = answer

            def log_message(self, *args: object) -> None:
                """Nothing on stderr."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @staticmethod
    def auth(token: str, lease: int, renewable: bool = True) -> dict[str, Any]:
        return {"auth": {"client_token": token, "lease_duration": lease, "renewable": renewable}}

    def count(self, part: str) -> int:
        return sum(part in call for call in self.calls)


class Clock:
    """Time that passes only when somebody sleeps or says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def fake() -> Iterator[FakeVault]:
    vault = FakeVault()
    yield vault
    vault.server.shutdown()
    vault.server.server_close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(fake: FakeVault, clock: Clock, tmp_path: Path) -> VaultClient:
    return make(fake, clock, tmp_path)


def make(fake: FakeVault, clock: Clock, tmp_path: Path, **values: Any) -> VaultClient:
    token = tmp_path / "token"
    token.write_text("jwt-one\n")
    given: dict[str, Any] = {
        "address": fake.address,
        "role": "mlops-stage",
        "token_file": token,
        "wait_seconds": 60.0,
        "secret_path": "secret/data/mlops/base/stage",
    }
    settings = VaultSettings(**(given | values))
    return VaultClient(settings, clock=clock, sleep=clock.sleep)


def test_logs_in_with_the_projected_token_and_reads_text_values(fake: FakeVault, client: VaultClient) -> None:
    assert client.read() == {"mongo_uri": SECRET["mongo_uri"], "github_token": "ghp_vault", "port": "7"}
    assert fake.bodies[0] == {"jwt": "jwt-one", "role": "mlops-stage"}


def test_one_login_serves_many_reads(fake: FakeVault, client: VaultClient, clock: Clock) -> None:
    client.read()
    clock.now += 300
    client.read()
    assert fake.count("login") == 1
    assert fake.count("renew-self") == 0


def test_a_token_near_its_end_is_renewed(fake: FakeVault, client: VaultClient, clock: Clock) -> None:
    client.read()
    clock.now += 450
    client.read()
    assert (fake.count("login"), fake.count("renew-self")) == (1, 1)
    clock.now += 300
    client.read()
    assert (fake.count("login"), fake.count("renew-self")) == (1, 1)


def test_an_expired_token_leads_to_one_login_with_the_token_file_read_anew(
    fake: FakeVault, client: VaultClient, clock: Clock
) -> None:
    client.read()
    client.settings.token_file.write_text("jwt-two")
    clock.now += 601
    client.read()
    assert (fake.count("login"), fake.count("renew-self")) == (2, 0)
    assert [body["jwt"] for body in fake.bodies if "jwt" in body] == ["jwt-one", "jwt-two"]


def test_a_refused_renewal_and_one_that_gives_little_lead_to_a_login(
    fake: FakeVault, client: VaultClient, clock: Clock
) -> None:
    client.read()
    fake.answers["POST /v1/auth/token/renew-self"] = [
        (403, {"errors": ["permission denied"]}),
        (200, fake.auth("t1", 60)),
    ]
    clock.now += 450
    client.read()
    clock.now += 450
    client.read()
    assert (fake.count("login"), fake.count("renew-self")) == (3, 2)


def test_a_token_revoked_early_is_replaced_once(fake: FakeVault, client: VaultClient) -> None:
    client.read()
    path = "GET /v1/secret/data/mlops/base/stage"
    fake.answers[path] = [(403, {"errors": ["permission denied"]})]
    assert client.read()["github_token"] == "ghp_vault"
    assert fake.count("login") == 2


def test_a_policy_that_does_not_allow_the_path_is_code_2(fake: FakeVault, client: VaultClient) -> None:
    fake.default["GET /v1/secret/data/mlops/base/stage"] = (403, {"errors": ["permission denied"]})
    with pytest.raises(WrongSettings, match="role mlops-stage may not read secret/data/mlops/base/stage"):
        client.read()
    assert fake.count("login") == 1


@pytest.mark.parametrize(
    ("status", "said"),
    [(403, "service account name not authorized"), (400, "invalid role name"), (404, "no handler for route")],
)
def test_a_refused_login_is_code_2_and_shows_no_token(
    fake: FakeVault, client: VaultClient, status: int, said: str
) -> None:
    fake.default["POST /v1/auth/kubernetes/login"] = (status, {"errors": [said]})
    with pytest.raises(WrongSettings) as error:
        client.read()
    assert said in str(error.value)
    assert "jwt-one" not in str(error.value)


@pytest.mark.parametrize("status", [503, 501, 500, 502, 429])
def test_a_vault_that_comes_back_in_time_is_waited_for(
    fake: FakeVault, client: VaultClient, clock: Clock, status: int
) -> None:
    fake.answers["POST /v1/auth/kubernetes/login"] = [(status, {"errors": ["Vault is sealed"]})] * 3
    assert client.read()["github_token"] == "ghp_vault"
    assert clock.now > 1000


def test_a_vault_that_stays_sealed_is_code_1_after_the_wait(
    fake: FakeVault, client: VaultClient, clock: Clock
) -> None:
    fake.default["POST /v1/auth/kubernetes/login"] = (503, {"errors": ["Vault is sealed"]})
    with pytest.raises(ServiceUnreachable, match="is sealed and stayed so for 60 s"):
        client.read()
    assert 1060 <= clock.now < 1075


def test_an_absent_vault_is_code_1_after_the_wait(fake: FakeVault, clock: Clock, tmp_path: Path) -> None:
    fake.server.shutdown()
    fake.server.server_close()
    with pytest.raises(ServiceUnreachable, match="out of reach"):
        make(fake, clock, tmp_path).read()
    assert clock.now >= 1060


def test_no_secret_at_the_path_says_how_to_write_one(fake: FakeVault, client: VaultClient) -> None:
    fake.default["GET /v1/secret/data/mlops/base/stage"] = (404, {"errors": []})
    with pytest.raises(WrongSettings, match="vault kv put -mount=secret mlops/base/stage"):
        client.read()


def test_a_token_file_that_is_missing_or_empty_is_named(fake: FakeVault, client: VaultClient) -> None:
    client.settings.token_file.write_text("")
    with pytest.raises(WrongSettings, match="is empty"):
        client.read()
    client.settings.token_file.unlink()
    with pytest.raises(WrongSettings, match=r"VAULT_TOKEN_FILE.*FileNotFoundError"):
        client.read()


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"secret_path": "secret/mlops/stage"}, "VAULT_SECRET_PATH: expected a KV v2 path"),
        ({"login_path": "kubernetes"}, "VAULT_PATH_AUTH: expected a login path"),
    ],
)
def test_odd_paths_are_refused_before_anything_is_sent(
    fake: FakeVault, clock: Clock, tmp_path: Path, values: dict[str, str], match: str
) -> None:
    with pytest.raises(WrongSettings, match=match):
        make(fake, clock, tmp_path, **values)
    assert fake.calls == []


def test_another_mount_point_is_what_stands_between(fake: FakeVault, clock: Clock, tmp_path: Path) -> None:
    client = make(
        fake, clock, tmp_path, login_path="auth/clusters/staging/login", secret_path="kv/team/data/mlops/x"
    )
    fake.default["POST /v1/auth/clusters/staging/login"] = (200, fake.auth("t", 60))
    fake.default["GET /v1/kv/team/data/mlops/x"] = (200, {"data": {"data": {"a": "b"}}})
    assert client.read() == {"a": "b"}


def test_a_private_authority_is_trusted_by_its_file_alone(
    fake: FakeVault, clock: Clock, tmp_path: Path
) -> None:
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate")
    arguments = (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=vault -addext subjectAltName=IP:127.0.0.1 "
        "-keyout key.pem -out ca.crt"
    )
    subprocess.run(["openssl", *arguments.split()], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.crt", tmp_path / "key.pem")
    fake.server.socket = context.wrap_socket(fake.server.socket, server_side=True)
    address = fake.address.replace("http:", "https:")
    environ = IN_VAULT | {"VAULT_ADDR": address, "VAULT_CACERT": str(tmp_path / "ca.crt")}
    settings = VaultSettings.from_environ(environ)
    assert settings is not None
    client = make(fake, clock, tmp_path, address=settings.address, ca_file=settings.ca_file)
    assert client.read()["github_token"] == "ghp_vault"
    with pytest.raises(ServiceUnreachable, match="VAULT_CACERT"):
        make(fake, clock, tmp_path, address=address).read()


class Settings(StageSettings):
    """A stage with one secret."""

    vault_keys: ClassVar[frozenset[str]] = frozenset({"github_token"})
    github_token: SecretStr | None = None
    port: int = 1


def test_load_settings_takes_vault_over_files_and_variables(fake: FakeVault, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("jwt")
    (tmp_path / "github_token").write_text("from-file")
    environ = {
        "VAULT_ADDR": fake.address,
        "VAULT_ROLE": "r",
        "VAULT_SECRET_PATH": "secret/data/mlops/base/stage",
        "VAULT_TOKEN_FILE": str(tmp_path / "token"),
        "SECRETS_DIR": str(tmp_path),
        "GITHUB_TOKEN": "from-variable",
    }
    settings = load_settings(Settings, [], "stage", environ=environ)
    assert settings.github_token is not None
    assert settings.github_token.get_secret_value() == "ghp_vault"
    assert settings.port == 1  # a key of the secret that is no Vault key of this stage is not taken


@pytest.mark.parametrize(
    ("environ", "match"),
    [
        ({"VAULT_ADDR": "vault:8200"}, "VAULT_ADDR: expected an address"),
        ({"VAULT_ADDR": "http://v"}, "VAULT_ROLE: expected a value"),
        ({"VAULT_ADDR": "http://v", "VAULT_ROLE": "r"}, "VAULT_SECRET_PATH: expected a value"),
        (
            IN_VAULT | {"VAULT_WAIT_SECONDS": "soon"},
            "VAULT_WAIT_SECONDS: expected seconds, found 'soon'",
        ),
        (
            IN_VAULT | {"VAULT_CACERT": "/nowhere/ca.crt"},
            "VAULT_CACERT: .*FileNotFoundError at /nowhere/ca.crt",
        ),
        (
            IN_VAULT | {"VAULT_CACERT": __file__},
            "VAULT_CACERT: expected a file of PEM certificates, found SSLError",
        ),
    ],
)
def test_wrong_vault_variables_are_named(environ: dict[str, str], match: str) -> None:
    with pytest.raises(WrongSettings, match=match):
        load_settings(Settings, [], "stage", environ=environ)
