"""The ways that `benchmarks.way` prints are those that requests take."""

from benchmarks import way


def test_a_text_chunk_comes_to_its_repair() -> None:
    """A chunk's way begins at the stream that the SDK reads, and passes the exchange once."""
    names = [step.name for step in way.of_a_chunk()]
    assert names[0] == "Pieces.__next__"
    assert names.count("Exchange.chunk") == 1


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
