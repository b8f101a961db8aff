"""GitHub Apps: a JWT signed with the App's key is exchanged for a token that lasts an hour."""

from __future__ import annotations

from dataclasses import dataclass

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.types import Options

CLOCK_SKEW = 60.0
LONGEST = 600.0
_ONLY_THE_SIGNATURE: Options = {
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
}
"""The times are compared with the stand-in's clock, which the library does not know."""


class BadJwt(ValueError):
    """GitHub's sentence about a JWT that it does not accept."""


@dataclass(frozen=True)
class App:
    """An App by its id and public key, and the installations it has."""

    app_id: str
    key: RSAPublicKey
    installations: frozenset[int]


def public_key(pem: str) -> RSAPublicKey:
    """An RSA public key in PEM (``BEGIN PUBLIC KEY``). Raises ValueError."""
    try:
        key = load_pem_public_key(pem.encode())
    except ValueError as error:
        raise ValueError("expected an RSA public key in PEM") from error
    if not isinstance(key, RSAPublicKey):
        raise ValueError("expected an RSA public key in PEM, found a key of another kind")
    return key


def verify(app: App, token: str, now: float) -> None:
    """Check a JWT's signature (RS256), its issuer and its times. Raises BadJwt as GitHub words it."""
    try:
        claims = jwt.decode(token, app.key, algorithms=["RS256"], options=_ONLY_THE_SIGNATURE)
        issued, expires = float(claims["iat"]), float(claims["exp"])
    except (jwt.PyJWTError, KeyError, ValueError, TypeError) as error:
        raise BadJwt("A JSON web token could not be decoded") from error
    if str(claims.get("iss")) != app.app_id:
        raise BadJwt("'Issuer' claim ('iss') must be an Integer or the App's client ID")
    if expires <= now:
        raise BadJwt("'Expiration time' claim ('exp') is too far in the past")
    if expires > now + LONGEST:
        raise BadJwt("'Expiration time' claim ('exp') is too far in the future")
    if issued > now + CLOCK_SKEW:
        raise BadJwt("'Issued at' claim ('iat') must be an Integer representing the time it was issued")
