"""Taking secrets out of text before it is written anywhere.

Two nets: every value registered as a secret, wherever it stands, and the password in anything that
looks like scheme://user:password@host, registered or not.
"""

import re
from urllib.parse import quote, unquote, urlsplit

HIDDEN = "***"
# Shorter values would turn up in ordinary words and make logs unreadable without hiding anything.
SHORTEST_SECRET = 4
_URI_PASSWORD = re.compile(r"(?P<head>[A-Za-z][A-Za-z0-9+.\-]*://[^\s/:@]*):(?P<password>[^\s/]*)@")
_URI_START = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")


class Redactor:
    """Replaces registered secrets and URI passwords by three stars."""

    def __init__(self) -> None:
        self._secrets: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None

    def register(self, secret: str) -> None:
        """From now on hide this secret. Of a URI only its password is secret, its address stays
        readable.
        """
        found = _uri_passwords(secret) if _URI_START.match(secret) else {secret}
        # A client may print a password as it was given or percent-decoded.
        spellings = {form for value in found for form in (value, unquote(value), quote(value, safe=""))}
        self._secrets |= {form for form in spellings if len(form) >= SHORTEST_SECRET}
        if self._secrets:
            # Longest first: one secret may be the beginning of another.
            ordered = sorted(self._secrets, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, ordered)))

    def text(self, text: str) -> str:
        """The text with every secret replaced."""
        if self._pattern is not None:
            text = self._pattern.sub(HIDDEN, text)
        if "://" in text:
            text = _URI_PASSWORD.sub(rf"\g<head>:{HIDDEN}@", text)
        return text

    def value(self, value: object) -> object:
        """A log value of any shape with every secret in it replaced; numbers and None come back as
        they are.
        """
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(item) for item in value]
        return self.text(str(value))


def _uri_passwords(uri: str) -> set[str]:
    try:
        password = urlsplit(uri).password
    except ValueError:  # not a URI after all: hide all of it
        return {uri}
    return {password} if password else set()


REDACTOR = Redactor()
"""The process's one redactor: load_settings registers every secret here, the logs read it."""


def register_secret(secret: str) -> None:
    """Hide this value in every later log line and error message of the process."""
    REDACTOR.register(secret)


def redact(text: str) -> str:
    """The text without registered secrets and URI passwords."""
    return REDACTOR.text(text)
