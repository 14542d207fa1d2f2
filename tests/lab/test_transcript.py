"""How a scripted model reads the results of multi-calls out of a conversation."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchwrap.lab.transcript import split_batch

PATHS = ["a.py", "src/b.py", "c.md"]
lines = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=20),
    # Lines that look like headers of this batch or another one.
    st.sampled_from(["[1/3] read_file a.py", "[2/4] read_file src/b.py", "[2/3] read_file c.md"]),
    st.sampled_from(["[3/3] read_file src/b.py", "[2/3] read_file", "[i/n] tool path"]),
)
files = st.lists(lines, max_size=6).map("\n".join)


def batch(texts: list[str], paths: list[str]) -> str:
    heads = [f"[{i}/{len(paths)}] read_file {path}" for i, path in enumerate(paths, 1)]
    return "\n".join(f"{head}\n{text}" for head, text in zip(heads, texts, strict=True))


@given(st.tuples(files, files, files))
def test_items_are_taken_apart_to_the_character(texts: tuple[str, str, str]) -> None:
    """Each item gets its own text back, though files have lines that look like headers."""
    assert split_batch(batch(list(texts), PATHS), PATHS) == list(texts)


def test_one_file_in_two_items() -> None:
    """The running number tells two items of the same file apart."""
    paths = ["a.py", "a.py"]
    assert split_batch(batch(["first", "second"], paths), paths) == ["first", "second"]


def test_a_result_without_headers() -> None:
    """A result in an unknown format is not lost: each item gets the whole of it."""
    assert split_batch("some text", ["a.py", "b.py"]) == ["some text", "some text"]


def test_items_that_were_not_run() -> None:
    """An item without its header has no text, and its line is in no other item's."""
    result = "[1/4] not run\n[2/4] read a.py\nx\n[3/4] not run\n[4/4] read d.py\ny\n[2/4] z"
    assert split_batch(result, ["b.py", "a.py", "c.py", "d.py"]) == [None, "x", None, "y\n[2/4] z"]
    result = "[1/2] read a.py\nx\n[2/2] not run"
    assert split_batch(result, ["a.py", "b.py"]) == ["x", None]


def test_headers_without_paths() -> None:
    """Where no header names a path, the running numbers alone take the items apart."""
    assert split_batch("[1/2] read\nx\n[2/2] read\ny", ["a.py", "b.py"]) == ["x", "y"]


def test_text_after_the_path_is_part_of_the_header() -> None:
    """A header may say more behind the path."""
    result = "[1/2] read a.py (lines 1-3)\nx\n[2/2] read b.py\ny"
    assert split_batch(result, ["a.py", "b.py"]) == ["x", "y"]
