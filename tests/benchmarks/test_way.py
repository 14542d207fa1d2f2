"""The ways that `benchmarks.way` prints are those that requests take."""

from benchmarks import way


def test_a_text_chunk_takes_the_fast_path() -> None:
    """A chunk's way begins at the stream that the SDK reads, and is the fast path, all of it."""
    steps = way.of_a_chunk()
    names = [step.name for step in steps]
    assert names[0] == "Pieces.__next__"
    assert (names.count("FastPath.take"), names.count("Exchange.chunk")) == (1, 0)
    assert len(steps) <= 15
    assert len({step.file for step in steps}) <= 6


def test_a_request_is_admitted_once() -> None:
    """A request's way ends where it is sent; its admission is a part of it."""
    steps = way.of_a_request()
    assert [step.name for step in steps].count("Exchange.start") == 1
    assert 1 < len(way.of_an_admission()) < len(steps)


def test_lines() -> None:
    """A line with the counts, and, if asked for, one for each call, indented as it was made."""
    steps = [way.Step(3, "a.py", "outer"), way.Step(4, "b.py", "inner")]
    assert list(way.lines("a walk", steps, calls=True)) == [
        "a walk            2 calls in  2 files",
        "    outer  a.py",
        "      inner  b.py",
    ]
