"""md5crypt and the seals of Whatsminers, against what others compute: openssl, and hashlib by hand."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rampd.drivers.miners import md5crypt, whatsminer_v2

LETTERS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("word", "salt", "letters"),
    [
        ("admin", "BQ5hoXV9", "RxmaDUO33TS7O26yeMHZ81"),
        ("a", "x", "P8VObTrxaqT4VBmnH06P8."),
        ("a much longer password than sixteen bytes", "12345678", "yLppq.aqtfjKiej5RWDLq/"),
    ],
)
def test_md5crypt_vectors(word: str, salt: str, letters: str) -> None:
    assert md5crypt.md5crypt(word, salt) == letters


@settings(max_examples=25, deadline=None)
@given(st.text("abcXYZ019 $ü", min_size=1, max_size=40), st.text(LETTERS, min_size=1, max_size=8))
def test_md5crypt_is_that_of_openssl(word: str, salt: str) -> None:
    done = subprocess.run(
        ["openssl", "passwd", "-1", "-salt", salt, "-stdin"], input=word.encode(), capture_output=True, check=True
    )
    assert f"$1${salt}${md5crypt.md5crypt(word, salt)}" == done.stdout.decode().strip()


def openssl_aes(key: bytes, data: bytes, *flags: str) -> bytes:
    command = ["openssl", "enc", "-aes-256-ecb", "-K", key.hex(), "-nopad", *flags]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def test_a_command_is_sealed_as_openssl_would() -> None:
    token = whatsminer_v2.Token("admin", "5626", "BQ5hoXV9", "jbzkfQls")
    key = hashlib.sha256(b"RxmaDUO33TS7O26yeMHZ81").digest()
    sealed = json.loads(token.seal({"cmd": "power_off", "token": token.sign, "respbefore": "true"}))
    assert sealed["enc"] == 1
    plain = openssl_aes(key, base64.b64decode(sealed["data"]), "-d")
    assert len(plain) % 16 == 0
    assert json.loads(plain.rstrip(b"\0")) == {"cmd": "power_off", "token": token.sign, "respbefore": "true"}
    signed = subprocess.run(
        ["openssl", "passwd", "-1", "-salt", "jbzkfQls", "RxmaDUO33TS7O26yeMHZ815626"], capture_output=True, check=True
    )
    assert signed.stdout.decode().strip() == f"$1$jbzkfQls${token.sign}"


def test_an_answer_is_unsealed() -> None:
    token = whatsminer_v2.Token("admin", "5626", "BQ5hoXV9", "jbzkfQls")
    key = hashlib.sha256(b"RxmaDUO33TS7O26yeMHZ81").digest()
    text = b'{"STATUS":"S","Code":131}'
    sealed = base64.b64encode(openssl_aes(key, text + b"\0" * (-len(text) % 16))).decode()
    assert token.unseal(sealed) == text
    for wrong in ("", "*", sealed[:-8], "QUJD"):
        with pytest.raises(ValueError, match=r"."):
            token.unseal(wrong)
