"""The packed tables are the published ones."""

from __future__ import annotations

import hashlib

import pytest

from batchwrap.encodings import EncodingName
from tests.published_tables import published

# The sums of the files that tiktoken would download, from its module openai_public.
PUBLISHED: dict[EncodingName, str] = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_file(name: EncodingName) -> None:
    """Written as OpenAI publishes it, a table has the sum of that file."""
    assert hashlib.sha256(published(name)).hexdigest() == PUBLISHED[name]
