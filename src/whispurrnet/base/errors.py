"""What can go wrong, and who can do something about it.

Split by the place of the fault and by what the caller can do, after Arti's `ErrorKind`:

    WhispurrError
    ├── UsageError          you: the call was wrong
    │   └── ConfigError     you: a setting was wrong; names it
    ├── HostError           your machine: disk, permissions, ports, a missing extra
    │   └── LevelUnavailable    a security level needs an extra that is not installed
    ├── NetworkError        between: unreachable, timed out, closed
    ├── ProtocolError       the other: it broke the protocol
    │   └── AuthError       the other: it is not who it should be; says no more than that
    │       ├── DowngradeRefused     it offers less than we accept
    │       ├── DowngradeDetected    somebody between us took the better offer away
    │       └── IdentityChanged      it is not the one we pinned under this name
    └── LimitError          too much: a bound was reached; trying later may help

`asyncio.CancelledError` is never caught, `OSError` never escapes a transport, and a failed
`assert` is a bug of ours.
"""


class WhispurrError(Exception):
    """The root of every error of this package."""


class UsageError(WhispurrError):
    """The call was wrong."""


class ConfigError(UsageError):
    """A setting was wrong; the message names it."""


class HostError(WhispurrError):
    """This machine cannot do it: disk, permissions, ports, a missing extra."""


class LevelUnavailable(HostError):  # noqa: N818 - the protocol's own word
    """A security level needs an extra that is not installed; no other is taken instead."""


class NetworkError(WhispurrError):
    """The network between did not do it: unreachable, timed out, closed."""


class ProtocolError(WhispurrError):
    """A peer broke the protocol."""


class AuthError(ProtocolError):
    """A peer is not who it should be."""


class DowngradeRefused(AuthError):  # noqa: N818 - the protocol's own word
    """A peer offers less than we accept."""


class DowngradeDetected(AuthError):  # noqa: N818 - the protocol's own word
    """Both sides could do better than what was negotiated: somebody between took it away."""


class IdentityChanged(AuthError):  # noqa: N818 - the protocol's own word
    """A peer is not the one that was pinned under this name."""


class LimitError(WhispurrError):
    """A bound was reached; trying later may help."""
