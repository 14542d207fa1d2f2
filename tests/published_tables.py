"""The tokenizer tables as OpenAI publishes them, written from the packed ones in batchwrap."""

from __future__ import annotations

from base64 import b64encode

from batchwrap.encodings import EncodingName, load


def published(name: EncodingName) -> bytes:
    """The published file of a table."""
    encoding = load(name)
    tokens = encoding.token_byte_values()
    ranked = sorted((encoding.encode_single_token(token), token) for token in tokens)
    return b"".join(b"%b %d\n" % (b64encode(token), rank) for rank, token in ranked)
