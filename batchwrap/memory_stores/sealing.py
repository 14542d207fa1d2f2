"""The encryption of shared memory: whoever reads the store without the API key learns nothing.

The keys are derived from the account's API key (HKDF with SHA-256). A content is encrypted and
authenticated (AES-256-GCM, a random nonce for each), together with the name under which it is kept.
So another account cannot open it, and a record that was changed, or moved to another name, counts
as missing. Names are keyed digests: without the API key nobody can tell what they were made from.

An account without an API key, as local servers have it, has a key that everybody can derive.
"""

from __future__ import annotations

import hmac
import os
from base64 import b64decode, b64encode
from functools import lru_cache

from batchwrap.errors import MissingExtraError

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
except ImportError as error:
    raise MissingExtraError("cryptography", "memory") from error

_SALT = b"batchwrap memory 1"
_NONCE_BYTES = 12
_KEY_BYTES, _TAG_BYTES = 32, 8
_MOST_ACCOUNTS = 256


class Sealing:
    """The keys of one account.

    Args:
        api_key: its API key; empty if there is none.

    Attributes:
        account: names the account in a store, without revealing the key.
    """

    def __init__(self, api_key: str) -> None:
        length = 2 * _KEY_BYTES + _TAG_BYTES
        derived = HKDF(SHA256(), length, _SALT, b"").derive(api_key.encode(errors="surrogatepass"))
        self._cipher = AESGCM(derived[:_KEY_BYTES])
        self._naming = derived[_KEY_BYTES : 2 * _KEY_BYTES]
        self.account = derived[2 * _KEY_BYTES :].hex()

    def name(self, plain: str) -> str:
        """The name in the store for a name of an exchange."""
        return hmac.digest(self._naming, plain.encode(), "sha256").hex()[:_KEY_BYTES]

    def seal(self, name: str, content: bytes) -> str:
        """The content, encrypted for the name under which it is kept."""
        nonce = os.urandom(_NONCE_BYTES)
        return b64encode(nonce + self._cipher.encrypt(nonce, content, name.encode())).decode()

    def open(self, name: str, sealed: str) -> bytes | None:
        """The content; None if it was not sealed so."""
        try:
            whole = b64decode(sealed, validate=True)
            nonce, rest = whole[:_NONCE_BYTES], whole[_NONCE_BYTES:]
            return self._cipher.decrypt(nonce, rest, name.encode())
        except (InvalidTag, ValueError):
            return None


@lru_cache(maxsize=_MOST_ACCOUNTS)
def sealing_of(api_key: str) -> Sealing:
    """The keys of the account with this API key."""
    return Sealing(api_key)
