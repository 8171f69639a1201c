"""Bodies and keys as JSON carries them: text, base64 or hexadecimal; and back to bytes."""

from __future__ import annotations

import base64
import binascii

from whispurrnet.crypto.hash import sha256
from whispurrnet.gateway.refusal import refuse


def body_of(text: str | None, body_base64: str | None) -> bytes:
    """The bytes of a message, of which exactly one form is given.

    Raises:
        Refusal: None or both are given, or it cannot be decoded.
    """
    if (text is None) == (body_base64 is None):
        raise refuse(
            400,
            "The request was wrong",
            "Exactly one of `text` and `body_base64` must be given.",
            'Such as {"text": "hello"}.',
        )
    if text is not None:
        try:
            return text.encode()
        except UnicodeEncodeError:
            raise refuse(
                400, "The request was wrong", "`text` is not Unicode.", "Send body_base64."
            ) from None
    try:
        return base64.b64decode(body_base64 or "", validate=True)
    except (binascii.Error, ValueError):
        raise refuse(
            400, "The request was wrong", "`body_base64` is not base64.", "See RFC 4648."
        ) from None


def topic_key(text: str) -> bytes | None:
    """The key of a private topic; None of an empty text. The route has checked its form."""
    return bytes.fromhex(text) if text else None


def key_id(key: bytes | None) -> str:
    """Eight hexadecimal digits that stand for a topic key, and tell nothing of it."""
    return sha256(b"WN1 topic key id", key)[:4].hex() if key is not None else ""
