"""Bytes that must not be shown.

A `Secret` is what keys, seeds and pre-shared keys are held in, so that a log line, a traceback or
the `repr` of a structure that contains one says nothing about it. It is no protection of memory:
Python copies and keeps bytes as it pleases, and does not promise to wipe them.
"""

from __future__ import annotations


class Secret(bytes):
    """Bytes whose `repr` and `str` say nothing but their length.

    Slicing or concatenating gives plain bytes again; wrap the result when it is still secret.
    Compare with `crypto.hash.equal`, which takes the same time whatever the bytes are.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Secret({len(self)} bytes)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)
