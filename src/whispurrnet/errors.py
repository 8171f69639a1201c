"""The errors of this package, for those who catch them; see `whispurrnet.base.errors`."""

from whispurrnet.base.errors import (
    AuthError,
    ConfigError,
    DowngradeDetected,
    DowngradeRefused,
    HostError,
    IdentityChanged,
    LevelUnavailable,
    LimitError,
    NetworkError,
    ProtocolError,
    UsageError,
    WhispurrError,
)

__all__ = [
    "AuthError",
    "ConfigError",
    "DowngradeDetected",
    "DowngradeRefused",
    "HostError",
    "IdentityChanged",
    "LevelUnavailable",
    "LimitError",
    "NetworkError",
    "ProtocolError",
    "UsageError",
    "WhispurrError",
]
