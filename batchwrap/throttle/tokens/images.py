"""The tokens of a picture: by OpenAI's rule, from the size in its first bytes.

The rule (https://platform.openai.com/docs/guides/images-vision): a picture is scaled down to fit
2048 x 2048, then to 768 on its shorter side. It costs a base and an amount for each tile of
512 x 512; with detail "low" only the base. Other providers count in other ways (Anthropic by area,
Qwen by patches, Gemini by tiles of 768) with results of the same order.
"""

from __future__ import annotations

import binascii
import struct
from math import ceil
from typing import Any

# The assumed size of a picture whose size cannot be read.
_USUAL = (1_024, 1_024)
# Tokens for the base and for a tile. GPT-4o mini counts 33 times as many, at a lower price each.
_RULE = (85, 170)
_MINI_RULE = (2_833, 5_667)
# Characters of base64 that are decoded to find the size: enough for most pictures, then enough for
# a JPEG with a preview and a colour profile before the size.
_HEADS = (4_096, 262_144)
# The frame headers of JPEG: C0 to CF without three markers that mean something else.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def image_tokens(image: object, model: str) -> int:
    """Tokens of the `image_url` of a content part: ``{"url": …, "detail": …}`` or the URL."""
    given: dict[Any, Any] = image if isinstance(image, dict) else {"url": image}
    base, tile = _MINI_RULE if model.startswith("gpt-4o-mini") else _RULE
    if given.get("detail") == "low":
        return base
    url = given.get("url")
    width, height = (size_of(url) if isinstance(url, str) else None) or _USUAL
    shrink = min(1, 2_048 / max(width, height), 768 / min(width, height))
    return base + tile * _tiles(width * shrink) * _tiles(height * shrink)


def _tiles(length: float) -> int:
    return max(1, ceil(round(length) / 512))


def size_of(url: str) -> tuple[int, int] | None:
    """The width and height of the picture in a data URL; None if they cannot be read.

    It reads PNG, JPEG, GIF and WebP.
    """
    comma = url.find(",", 0, 200)
    if not url.startswith("data:") or ";base64" not in url[: max(comma, 0)]:
        return None
    for length in _HEADS:
        try:
            head = binascii.a2b_base64(url[comma + 1 : comma + 1 + length])
        except ValueError:
            return None
        size = _size(head)
        if size is not None or comma + 1 + length >= len(url):
            return size if size is not None and min(size) > 0 else None
    return None


def _size(head: bytes) -> tuple[int, int] | None:
    try:
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            return struct.unpack_from(">II", head, 16)
        if head.startswith((b"GIF87a", b"GIF89a")):
            return struct.unpack_from("<HH", head, 6)
        if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
            return _webp(head)
        return _jpeg(head) if head.startswith(b"\xff\xd8") else None
    except struct.error:  # the data ends before the size
        return None


def _webp(head: bytes) -> tuple[int, int] | None:
    kind = head[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", head, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X" and len(head) >= 30:
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    return None


def _jpeg(head: bytes) -> tuple[int, int] | None:
    at = 2
    while head[at : at + 1] == b"\xff":
        marker, length = struct.unpack_from(">BH", head, at + 1)
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", head, at + 5)
            return width, height
        at += 1 if marker == 0xFF else 2 + length  # markers may be padded with FF
    return None
