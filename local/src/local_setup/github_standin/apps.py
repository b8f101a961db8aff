"""GitHub Apps: a JWT signed with the App's key is exchanged for a token that lasts an hour."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass

CLOCK_SKEW = 60.0
LONGEST = 600.0
_SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")
"""DigestInfo of SHA-256 (RFC 8017, 9.2)."""


class BadJwt(ValueError):
    """GitHub's sentence about a JWT that it does not accept."""


@dataclass(frozen=True)
class App:
    """An App by its id and public key (RSA), and the installations it has."""

    app_id: str
    modulus: int
    exponent: int
    installations: frozenset[int]


def public_key(pem: str) -> tuple[int, int]:
    """Modulus and exponent of an RSA public key in PEM (``BEGIN PUBLIC KEY``). Raises ValueError."""
    lines = [line for line in pem.strip().splitlines() if not line.startswith("-----")]
    try:
        der = base64.b64decode("".join(lines), validate=True)
        _, info = _element(der)
        algorithm, rest = _skip(info)
        _, bits = _element(rest)
        _, key = _element(bits[1:])
        _, modulus = _element(key)
        _, exponent = _element(_skip(key)[1])
    except (binascii.Error, IndexError) as error:
        raise ValueError("expected an RSA public key in PEM") from error
    del algorithm
    return int.from_bytes(modulus), int.from_bytes(exponent)


def verify(app: App, token: str, now: float) -> None:
    """Check a JWT's signature (RS256), its issuer and its times. Raises BadJwt as GitHub words it."""
    parts = token.split(".")
    try:
        head, claims = (json.loads(_decode(part)) for part in parts[:2])
        signature = _decode(parts[2])
        issued, expires = float(claims["iat"]), float(claims["exp"])
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise BadJwt("A JSON web token could not be decoded") from error
    if head.get("alg") != "RS256" or not _signed(app, ".".join(parts[:2]), signature):
        raise BadJwt("A JSON web token could not be decoded")
    if str(claims.get("iss")) != app.app_id:
        raise BadJwt("'Issuer' claim ('iss') must be an Integer or the App's client ID")
    if expires <= now:
        raise BadJwt("'Expiration time' claim ('exp') is too far in the past")
    if expires > now + LONGEST:
        raise BadJwt("'Expiration time' claim ('exp') is too far in the future")
    if issued > now + CLOCK_SKEW:
        raise BadJwt("'Issued at' claim ('iat') must be an Integer representing the time it was issued")


def _signed(app: App, text: str, signature: bytes) -> bool:
    """RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, 8.2.2)."""
    size = (app.modulus.bit_length() + 7) // 8
    number = int.from_bytes(signature)
    if len(signature) != size or number >= app.modulus:
        return False
    message = pow(number, app.exponent, app.modulus).to_bytes(size)
    digest = _SHA256 + hashlib.sha256(text.encode()).digest()
    return message == b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _element(der: bytes) -> tuple[int, bytes]:
    """(tag, content) of the first DER element."""
    length, start = der[1], 2
    if length & 0x80:
        start = 2 + (length & 0x7F)
        length = int.from_bytes(der[2:start])
    return der[0], der[start : start + length]


def _skip(der: bytes) -> tuple[bytes, bytes]:
    """(first element whole, what follows it)."""
    _, content = _element(der)
    header = 2 + (der[1] & 0x7F if der[1] & 0x80 else 0)
    end = header + len(content)
    return der[:end], der[end:]
