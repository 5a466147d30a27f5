"""The `$1$` password hash of Unix (Poul-Henning Kamp, 1994), with which Whatsminers make tokens.

It protects nothing today; it is what the firmware computes. 0.7 ms a hash.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import md5
from typing import Final

_ROUNDS: Final = 1000
_ALPHABET: Final = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Which bytes of the digest make four letters, most significant first.
_TRIPLES: Final = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))


def md5crypt(word: str, salt: str) -> str:
    """The 22 letters that follow `$1$salt$`; a salt is at most 8 letters."""
    return _letters(_digest(word.encode(), salt.encode()[:8]))


@lru_cache(maxsize=64)
def cached(word: str, salt: str) -> str:
    """The same for a word that comes again: miners of a hall share password and salt."""
    return md5crypt(word, salt)


def _digest(word: bytes, salt: bytes) -> bytes:
    inner = _hash(word + salt + word)
    mixed = word + b"$1$" + salt + (inner * (len(word) // 16 + 1))[: len(word)]
    length = len(word)
    while length:
        mixed += b"\0" if length & 1 else word[:1]
        length >>= 1
    digest = _hash(mixed)
    for i in range(_ROUNDS):
        head, tail = (word, digest) if i % 2 else (digest, word)
        digest = _hash(head + (salt if i % 3 else b"") + (word if i % 7 else b"") + tail)
    return digest


def _hash(data: bytes) -> bytes:
    return md5(data, usedforsecurity=False).digest()


def _letters(digest: bytes) -> str:
    values = [digest[a] << 16 | digest[b] << 8 | digest[c] for a, b, c in _TRIPLES]
    letters = [_ALPHABET[value >> shift & 0x3F] for value in values for shift in (0, 6, 12, 18)]
    return "".join(letters) + _ALPHABET[digest[11] & 0x3F] + _ALPHABET[digest[11] >> 6]
