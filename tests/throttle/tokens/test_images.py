"""Pictures cost by their size, which is read from their first bytes."""

import base64
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.throttle.tokens.images import image_tokens, size_of

Picture = Callable[[int, int], bytes]

sides = st.integers(1, 16_383)
GUESS = 765


def data_url(data: bytes) -> str:
    """A data URL; its media type says nothing, as agents often get it wrong."""
    return "data:image/any;base64," + base64.b64encode(data).decode()


def png(width: int, height: int) -> bytes:
    """The beginning of a PNG."""
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + bytes(99)


def gif(width: int, height: int) -> bytes:
    """The beginning of a GIF."""
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(99)


def jpeg(width: int, height: int, preview: int = 50) -> bytes:
    """The beginning of a JPEG with a preview of so many bytes in front of its frame."""
    segments = b""
    while preview > 0:
        length = min(preview, 65_000)
        segments += b"\xff\xe1" + struct.pack(">H", length + 2) + bytes(length)
        preview -= length
    tables = b"\xff\xc4" + struct.pack(">H", 7) + bytes(5)
    frame = b"\xff\xff\xc2" + struct.pack(">HBHH", 17, 8, height, width)
    return b"\xff\xd8" + segments + tables + frame + bytes(99)


def webp(kind: bytes, head: bytes) -> bytes:
    """The beginning of a WebP."""
    return b"RIFF\0\0\0\0WEBP" + kind + bytes(4) + head + bytes(99)


def lossy(width: int, height: int) -> bytes:
    """A WebP of the plain kind; the two high bits of its sides are for scaling."""
    return webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width | 0x4000, height))


def lossless(width: int, height: int) -> bytes:
    """A WebP of the lossless kind."""
    return webp(b"VP8L", b"\x2f" + struct.pack("<I", width - 1 | height - 1 << 14 | 1 << 28))


def extended(width: int, height: int) -> bytes:
    """A WebP with an extended header."""
    sides = ((side - 1).to_bytes(3, "little") for side in (width, height))
    return webp(b"VP8X", bytes(4) + b"".join(sides))


@pytest.mark.parametrize("make", [png, gif, jpeg, lossy, lossless, extended])
@given(width=sides, height=sides)
def test_reads_sizes(make: Picture, width: int, height: int) -> None:
    """Every format that models take tells its size."""
    assert size_of(data_url(make(width, height))) == (width, height)


@pytest.mark.parametrize(
    ("preview", "size"), [(20_000, (640, 480)), (150_000, (640, 480)), (400_000, None)]
)
def test_reads_past_a_preview(preview: int, size: tuple[int, int] | None) -> None:
    """A camera's preview and colour profile in front of the size hide it only if huge."""
    assert size_of(data_url(jpeg(640, 480, preview))) == size


@given(
    st.sampled_from([png, gif, jpeg, lossy, lossless, extended]),
    st.integers(0, 80),
    st.binary(max_size=30),
)
def test_broken_pictures(make: Picture, cut: int, rest: bytes) -> None:
    """A picture that ends too soon or goes on with nonsense costs something, never fails."""
    assert 85 <= image_tokens({"url": data_url(make(640, 480)[:cut] + rest)}, "gpt-4o") <= 3_000


@given(st.text(max_size=40))
def test_any_url(text: str) -> None:
    """What is no picture at all costs what a usual one does."""
    for url in (text, f"data:{text}", f"data:image/png;base64,{text}"):
        assert image_tokens(url, "gpt-4o") == GUESS


@pytest.mark.parametrize(
    ("size", "detail", "tokens"),
    # The first three are the examples of https://platform.openai.com/docs/guides/images-vision
    [
        ((1_024, 1_024), "high", 765),
        ((2_048, 4_096), "high", 1_105),
        ((4_096, 8_192), "low", 85),
        ((100, 100), "auto", 255),
        ((512, 512), "high", 255),
        ((3_000, 10), "high", 85 + 4 * 170),
        ((1_467, 1_100), "high", 765),  # 1024.2 wide when shrunk: pixels are whole
        ((1_024, 1_024), None, 765),
    ],
)
def test_published_prices(size: tuple[int, int], detail: str | None, tokens: int) -> None:
    """A picture costs what OpenAI's rule says."""
    image = {"url": data_url(png(*size)), "detail": detail}
    assert image_tokens(image, "gpt-4o") == tokens


def test_the_mini_model_counts_more() -> None:
    """GPT-4o mini's tokens for a picture are its own."""
    image = {"url": data_url(png(512, 512))}
    assert image_tokens(image, "gpt-4o-mini-2024-07-18") == 2_833 + 5_667


@pytest.mark.parametrize("image", [None, 5, [], {}, {"url": 5}, {"url": None, "detail": []}])
def test_odd_images(image: object) -> None:
    """A part that is called a picture but holds none costs what a usual one does."""
    assert image_tokens(image, "gpt-4o") == GUESS
