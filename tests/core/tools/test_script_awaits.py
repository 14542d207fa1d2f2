"""Calls in a program whose `await` was forgotten."""

from __future__ import annotations

import warnings

import pytest

from batchwrap.core.tools.script_awaits import missing_awaits

NAMES = frozenset({"read", "find"})


def missing(code: str) -> list[str]:
    """The calls that lack an `await`, up to their closing parenthesis."""
    found, data = missing_awaits(code, NAMES), code.encode()
    places = [at for at in range(len(data)) if data[at : at + 5] in (b"read(", b"find(")]
    return [data[at : data.index(b")", at) + 1].decode() for at in places if at in found]


@pytest.mark.parametrize(
    "code",
    [
        "x = await read(1)",
        "await asyncio.gather(read(1), find(2))",
        "await asyncio.gather(*[read(p) for p in ps])",
        "await asyncio.gather(*(read(p) for p in ps), *more)",
        "asyncio.run(read(1))",
        "x = asyncio.gather(read(1))\nawait x",
        "from asyncio import gather\nawait gather(read(1))",
        "job = read(1)\nx = await job",
        "job: object = read(1)\nx = await job",
        "jobs = [read(1), find(2)]\nawait asyncio.gather(*jobs)",
        "jobs = []\nfor p in ps:\n    jobs.append(read(p))\nxs = await asyncio.gather(*jobs)",
        "jobs = {}\nfor p in ps:\n    jobs[p] = read(p)\nfor p, j in jobs.items():\n    await j",
        "jobs = {p: read(p) for p in ps}\nxs = await asyncio.gather(*jobs.values())",
        "jobs = {}\njobs.setdefault(1, []).append(read(1))\nawait asyncio.gather(*jobs[1])",
        "jobs = [read(p) for p in ps]\nxs = [await job for job in jobs]",
        "jobs = []\njobs += [read(1)]\nawait jobs[0]",
        "a, b = read(1), find(2)\nawait a\nawait b",
        "jobs = [read(1)]\nrest = list(jobs)\nawait rest.pop()",
        "def get(p):\n    return read(p)\nawait get(1)",
        "def get(p):\n    return read(p)\nawait asyncio.gather(*map(get, ps))",
        "get = lambda p: read(p)\nawait get(1)",
        "def get(p):\n    job = find(p)\n    return job if p else read(p)\nx = await get(1)",
        "async def wait(job):\n    return await job\nawait wait(read(1))",
        "async def wait(*jobs):\n    await asyncio.gather(*jobs)\nawait wait(read(1), read(2))",
        "async def wait(job=None):\n    return await job\nawait wait(job=read(1))",
        "await (read(1) if ok else find(2))",
        "if job := read(1):\n    await job",
    ],
)
def test_awaited_later(code: str) -> None:
    """A call is left alone if its value is awaited, however it gets there."""
    assert missing(code) == []


@pytest.mark.parametrize(
    ("code", "calls"),
    [
        ("read(1)", ["read(1)"]),
        ("x = read(1)\nprint(x)", ["read(1)"]),
        ("é = 'ü'; x = read(1)", ["read(1)"]),
        ("print(read(1), await find(2))", ["read(1)"]),
        ("read(1).upper()", ["read(1)"]),
        ("x = read(1) + find(2)", ["read(1)", "find(2)"]),
        ("for line in read(1).splitlines():\n    find(line)", ["read(1)", "find(line)"]),
        ("if 'x' in read(1):\n    pass", ["read(1)"]),
        ("xs = [read(p) for p in ps]\nprint(xs)", ["read(p)"]),
        ("def get(p):\n    return read(p)\nget(1)", ["read(p)"]),
        ("async def get(p):\n    x = read(p)\n    return x\nawait get(1)", ["read(p)"]),
        ("x = read(1)\nawait find(x)", ["read(1)"]),
        ("await find(read(1))", ["read(1)"]),
        ("f'{read(1)} {find(2)}'", ["read(1)", "find(2)"]),
        ("f'''\n{read(1)}'''", ["read(1)"]),
        ("x = 'a\\'b' + read(1)", ["read(1)"]),
        ("x = re.sub('\\d', '', read(1))", ["read(1)"]),
    ],
)
def test_forgotten(code: str, calls: list[str]) -> None:
    """A call whose value is used as a result lacks its `await`, wherever it stands."""
    assert missing(code) == calls


@pytest.mark.parametrize("code", ["x = (", "\0", "f'{read(1)", "match = read(1) +"])
def test_no_python(code: str) -> None:
    """What is no Python lacks nothing."""
    assert missing(code) == []


def test_own_coroutines() -> None:
    """The program's own coroutines are named if nothing awaits them."""
    code = (
        "async def main():\n    await read(1)\nasync def other():\n    pass\nawait other()\nmain()"
    )
    assert missing_awaits(code, NAMES).coroutines == ("main",)


def test_no_warnings() -> None:
    """What Python would warn of in a model's program, nobody hears of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert missing("x = '\\d'\nread(1)") == ["read(1)"]
