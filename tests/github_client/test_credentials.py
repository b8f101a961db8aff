"""credentials.py: the App's JWT as GitHub wants it, renewed in time, never shown."""

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from github_client.credentials import AppInstallation, Token
from github_client.errors import BrokenReply
from github_client.messages import Api

NOW = 1_700_000_000.0


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


def test_a_token_is_sent_as_it_is_and_not_shown() -> None:
    token = Token("ghp_secret", "token 1")
    assert token.authorization() == "Bearer ghp_secret"
    assert token.renewal(NOW) is None
    assert not token.expired(NOW)
    assert "ghp_secret" not in repr(token)


def test_an_installation_signs_and_renews_five_minutes_early(key: rsa.RSAPrivateKey, pem: str) -> None:
    secrets: list[str] = []
    app = AppInstallation(Api(), "12", pem, 34, secrets.append)
    request = app.renewal(NOW)
    assert request is not None
    assert (request.method, request.url) == (
        "POST",
        "https://api.github.com/app/installations/34/access_tokens",
    )
    signed = request.headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(
        signed, key.public_key(), ["RS256"], options={"verify_exp": False, "verify_iat": False}
    )
    assert claims == {"iat": int(NOW) - 60, "exp": int(NOW) + 540, "iss": "12"}
    app.renewed({"token": "ghs_new", "expires_at": "2023-11-14T23:13:20Z"})
    assert app.authorization() == "Bearer ghs_new"
    assert app.renewal(NOW + 3000) is None
    assert app.renewal(NOW + 3301) is not None
    assert secrets[:2] == [signed, "ghs_new"]
    assert "ghs_new" not in repr(app)


def test_a_token_that_ended_early_is_renewed_but_a_new_one_is_not(pem: str) -> None:
    app = AppInstallation(Api(), "12", pem, 34)
    assert app.renewal(NOW) is not None
    app.renewed({"token": "ghs_new", "expires_at": "2023-11-14T23:13:20Z"})
    assert not app.expired(NOW + 5)
    assert app.expired(NOW + 100)
    assert app.renewal(NOW + 100) is not None


@pytest.mark.parametrize("content", [None, [], {}, {"token": "x"}, {"token": "x", "expires_at": "soon"}])
def test_a_reply_without_a_token_is_broken(pem: str, content: object) -> None:
    with pytest.raises(BrokenReply, match="installation 34"):
        AppInstallation(Api(), "12", pem, 34).renewed(content)


@pytest.mark.parametrize(
    "wrong", ["", "secret text", "-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END RSA PRIVATE KEY-----"]
)
def test_a_wrong_key_is_found_at_the_start_and_not_quoted(wrong: str) -> None:
    with pytest.raises(ValueError, match="expected an RSA key") as caught:
        AppInstallation(Api(), "12", wrong, 34)
    assert "secret" not in str(caught.value) and "c2Vj" not in str(caught.value)
