"""What can go wrong while the one-machine set-up starts.

LocalSetupError
├── WrongSettings    a flag or variable that is missing or does not fit
├── JavaMissing      no Java, or one that is too old
├── JarsUnavailable  the Java libraries are missing, or are not the pinned ones
├── ServerFailed     a server of ours did not start
└── CorpusError      a corpus file that cannot be read
"""

from __future__ import annotations


class LocalSetupError(RuntimeError):
    """Base of all errors of this package; ``exit_code`` follows the stages' meaning."""

    exit_code = 1


class WrongSettings(LocalSetupError):
    """A setting is missing or contradicts another; running again changes nothing."""

    exit_code = 2


class JavaMissing(LocalSetupError):
    """No usable Java runtime; the message holds the command that installs one."""

    exit_code = 2


class JarsUnavailable(LocalSetupError):
    """A jar is missing or differs from its pinned checksum, or our class does not compile."""


class ServerFailed(LocalSetupError):
    """A server ended, or said nothing, before it accepted connections."""


class CorpusError(LocalSetupError):
    """A corpus file is missing or holds something that is no pull request."""

    exit_code = 3
