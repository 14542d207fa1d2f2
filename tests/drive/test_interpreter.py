"""Scripts in the sandboxed interpreter: what they may do, what they may not, and what is told."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.failures import ResultStatus
from batchwrap.core.moves.script_run import ScriptOutcome, ScriptResult, ScriptRun
from batchwrap.core.tools.script_functions import functions_of
from batchwrap.drive.interpreter import Interpreter
from batchwrap.options import Scripts
from tests.drive.script_programs import FUNCTIONS, World, programs, worlds
from tests.drive.script_runs import LIMITS, result, run_of, waves
from tests.reference_interpreter import ReferenceInterpreter
from tests.strategies import examples

CALM = World()


def path_of(tool: str, given: dict[str, Any]) -> str:
    """An answer that names what was asked for."""
    return f"<{next(iter(given.values()))}>"


# --- programs that work --------------------------------------------------------------------------

IN_ONE_WAVE = [
    "x = await read('a')",
    "await read(path='a')",
    "await read('a', 5)",
    "await read('a', limit=None)",
    "async def main():\n    return await read('a')\nasyncio.run(main())",
    "async def main():\n    return await read('a')\nawait main()",
    "import asyncio\nif __name__ == '__main__':\n    asyncio.run(read('a'))",
    "f = read\nawait f('a')",
    "tools = {'r': read}\nawait tools['r']('a')",
    "async def get(tool=read):\n    return await tool('a')\nawait get()",
    "from pathlib import Path\nawait read(Path('a'))",
    "```python\nawait read('a')\n```",
    "```\nawait read('a')\n```\n",
    "\n~~~py\nawait read('a')\n~~~",
    "```python\nawait read('a')",
    "    x = 1\n    await read('a')",
    "x = 1\r\nawait read('a')\r\n",
    # The await is forgotten.
    "x = read('a')\nprint(x)",
    "read('a')",
    "print(f'{read(\"a\")}')",
    "def get(p):\n    return read(p).upper()\nget('a')",
    # Awaited later, or never.
    "job = read('a')\nprint('x')\nawait job",
    "job = read('a')\nif not job:\n    await job",
    "job = asyncio.create_task(read('a'))\nawait job",
    "import asyncio\njob = asyncio.create_task(read('a'), name='x')\nawait job",
    "asyncio.create_task(read('a'))",
    "# x\n\nimport json, asyncio, re\nawait asyncio.wait_for(read('a'), timeout=5)",
    "import asyncio, json as j\nj.dumps(1)\nawait asyncio.ensure_future(read('a'))",
    "import asyncio # for wait_for\ntry:\n    asyncio.run(asyncio.wait_for(read('a'), 5))\n"
    "except asyncio.TimeoutError:\n    pass",
    "eval('read(\"a\")')",
]


@pytest.mark.parametrize("code", IN_ONE_WAVE)
def test_ways_to_call(interpreter: Interpreter, code: str) -> None:
    """However a call is written, it is made, once, and the program comes to its end."""
    found, outcome = waves(interpreter, code)
    assert found == [["a"]]
    assert (outcome.error, len(outcome.calls)) == (None, 1)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("await asyncio.gather(read('a'), read('b'))", [["a", "b"]]),
        ("for p in 'ab':\n    await read(p)", [["a"], ["b"]]),
        ("for p in 'ab':\n    print(read(p))", [["a"], ["b"]]),
        ("jobs = [read(p) for p in 'ab']\nawait asyncio.gather(*jobs)", [["a", "b"]]),
        ("x = await read('a')\nawait asyncio.gather(*map(lambda p: p, []))", [["a"]]),
        ("x = await read('a')\ny = await read(x + 'b')", [["a"], ["<a>b"]]),
        ("job = read('a')\nx = await read('b')\ny = await job", [["a", "b"]]),
        ("edit_file('a')\nawait read('b')", [["a"], ["b"]]),
        (
            "async def both(p):\n    x = await read(p)\n    return await find(x)\n"
            "await asyncio.gather(both('a'), both('b'), read('c'))",
            [["c", "a", "b"], ["<a>", "<b>"]],
        ),
        (
            "async def get(p):\n    x = read(p)\n    return x\n"
            "await asyncio.gather(get('a'), get('b'))",
            [["a"], ["b"]],
        ),
    ],
)
def test_waves(interpreter: Interpreter, code: str, expected: list[list[str]]) -> None:
    """What does not depend on each other waits together; what does comes later."""
    assert waves(interpreter, code, answer=path_of)[0] == expected


@pytest.mark.parametrize(
    ("code", "printed", "value"),
    [
        ("print('a', 1, sep='-')\n2", "a-1\n", "2"),
        ("await read('a')", "", "<a>"),
        ("x = await read('a')", "", None),
        ("None", "", None),
        ("''", "", ""),
        ("[1, 'b', None, 2.5, (1,), (1, 2), {}]", "", "[1, 'b', None, 2.5, (1,), (1, 2), {}]"),
        ("{'b', 'a', 'c'}, set()", "", "({'a', 'b', 'c'}, set())"),
        ("json.dumps({'a': [1]}), re.sub('a', 'b', 'aa'), math.pi > 3", "", None),
        ("import sys\nprint('to stderr', file=sys.stderr)", "to stderr\n", None),
        ("x = []\nfor i in range(500):\n    x = [x]\nx", "", None),
    ],
)
def test_output(interpreter: Interpreter, code: str, printed: str, value: str | None) -> None:
    """What is printed, and the value of the last expression, are told as texts."""
    _, outcome = waves(interpreter, code, answer=path_of)
    assert (outcome.printed, outcome.dropped, outcome.error) == (printed, 0, None)
    assert outcome.value == value or value is None


def test_results_are_texts(interpreter: Interpreter) -> None:
    """A result is the text that the agent gave, whatever stands in it."""
    for text in ("", "a\0b", '{"a": 1}', "é€😀", "half \ud800"):
        outcome = interpreter.run(
            run_of("x = await read('a')\nprint(type(x).__name__)\nx", c0=result(text))
        )
        assert (outcome.printed, outcome.value) == ("str\n", text.replace("\ud800", "?"))


@pytest.mark.parametrize("name", ["list", "open", "print", "exec", "dir", "json", "asyncio"])
def test_names_that_are_taken(interpreter: Interpreter, name: str) -> None:
    """A tool whose name the language has is called by another one, and hides nothing."""
    functions = functions_of([replace(FUNCTIONS["read"].tool, name=name)])
    (function,) = functions
    code = f"print(json.dumps([*map(list, [])]))\nawait asyncio.gather({function}('a'))"
    outcome = interpreter.run(ScriptRun(code, functions, {}, LIMITS))
    assert outcome.printed == "[]\n"
    assert [call.tool for call in outcome.calls] == [name]


# --- programs that fail --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("x = len(5)", "TypeError: object of type 'int' has no len() (line 1: x = len(5))"),
        (
            "def half(x):\n    return 1 / x\n\nhalf(0)",
            "ZeroDivisionError: division by zero (line 2: return 1 / x, called in line 4)",
        ),
        ("```py\nx = 1/0\n```", "(line 2: x = 1/0)"),
        ("raise ValueError", "ValueError (line 1: raise ValueError)"),
        ("raise ToolError('own')", "own (line 1: raise ToolError('own'))"),
        # Cut off in the middle.
        ("x = (1,\n", "SyntaxError: unexpected EOF while parsing"),
        ("print('abc", "SyntaxError: missing closing quote"),
        ("for p in 'ab':", "SyntaxError: Expected an indented block"),
        # What the language lacks.
        ("class A(Exception):\n    pass", "class inheritance"),
        ("def f():\n    yield 1", "build a list"),
        ("x = 1\ndel x", "pop()"),
        ("async with asyncio.TaskGroup() as group:\n    pass", "asyncio.gather"),
        ("async def f():\n    async for x in y:\n        pass", "asyncio.gather"),
        ("[x async for x in y]", "asyncio.gather"),
        ("asyncio.create_task\nawait asyncio.wait([read('a')])", "use asyncio.gather"),
        ("x = 1\nimport asyncio\nasyncio.create_task(read('a'))", "use asyncio.gather"),
        ("await asyncio.wait([read('a')])", "use asyncio.gather"),
        ("list(map(read, 'ab'))", "comprehension"),
        ("sorted('ab', key=lambda p: read(p))", "comprehension"),
        ("sorted(['a'], key=str.lower)", "lambda x: x.lower()"),
        ("f = 'a'.upper", "lambda x: x.upper()"),
        ("try:\n    pass\nexcept* ValueError:\n    pass", "plain except"),
        ("import heapq", "there are asyncio,"),
        ("datetime.now()", "import datetime first"),
        ("globals()", "no such function"),
        # Functions that are not there, and awaits that are too many or too few.
        (
            "await reed('a')",
            "NameError: name 'reed' is not defined (line 1: await reed('a')); did you mean read?",
        ),
        ("x = nothing_like_it", "there are edit_file, find, read"),
        ("x = await (await read('a'))", "it is a value already"),
        ("x = await read('a')\nawait asyncio.gather(x)", "gather takes calls"),
        ("job = read('a')\nlen(job)\nawait job", "await is missing"),
        ("async def main():\n    await read('a')\nmain()", "write await main()"),
    ],
)
def test_errors(interpreter: Interpreter, code: str, told: str) -> None:
    """An error says what, where, and where it is known what to write instead."""
    _, outcome = waves(interpreter, code)
    assert told in (outcome.error or "")
    assert "monty" not in (outcome.error or "")


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("read()", "read() needs 'path'"),
        ("read('a', 1, 2)", "read() takes 2 arguments at most"),
        ("read(file='a')", "no parameter 'file'"),
        ("read('a', path='b')", "got 'path' twice"),
        ("read(1)", "wants string as 'path'"),
        ("read('a', 'b')", "wants integer as 'limit'"),
        ("read(b'a')", "takes no bytes"),
        ("read('a', float('nan'))", "takes no NaN"),
        ("read(lambda: 'a')", "got a function"),
        ("read(job)", "got a call, whose await is missing"),
        ("read([job])", "got a call, whose await is missing"),
        ("read(object)", "read()"),
    ],
)
def test_wrong_arguments(interpreter: Interpreter, call: str, told: str) -> None:
    """What a tool does not take is an error where it is called, and goes nowhere."""
    code = f"async def wait(x):\n    return await x\njob = wait(1)\nx = 2\nawait {call}\nawait job"
    outcome = interpreter.run(run_of(code))
    assert (outcome.error or "").startswith("TypeError: ")
    assert told in (outcome.error or "")
    assert (*outcome.calls, *outcome.waiting) == ()
    caught = (
        f"job = 1\ntry:\n    {call.replace('job', '1')}\nexcept TypeError:\n    print('caught')"
    )
    assert interpreter.run(run_of(caught)).printed == "caught\n"


@pytest.mark.parametrize(
    "code",
    [
        "open('/etc/passwd').read()",
        "from pathlib import Path\nPath('/etc/passwd').read_text()",
        "import os\nos.listdir('/')",
        "import os\nos.environ['HOME']",
        "import os\nos.system('true')",
        "import subprocess",
        "import socket",
        "import ctypes",
        "import builtins",
        "__import__('os')",
        "().__class__.__subclasses__()",
        "(lambda: 0).__globals__",
        "print.__self__",
        "import sys\nsys.modules",
        "eval('__import__(\"os\")')",
        "exec('import socket')",
        "exit()",
        "breakpoint()",
        "input()",
    ],
)
def test_escapes(interpreter: Interpreter, code: str) -> None:
    """A program reaches nothing but its functions."""
    outcome = interpreter.run(run_of(code))
    assert outcome.error
    assert (outcome.calls, outcome.printed, outcome.value) == ((), "", None)


SMALL = Scripts(max_seconds=60, max_memory_mb=16, max_calls=5, max_output_tokens=10)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("while True:\n    pass", "TimeoutError: it computed for more than 0.2 s"),
        ("try:\n    while True:\n        pass\nexcept BaseException:\n    pass", "TimeoutError"),
        ("import time\nwhile True:\n    time.sleep(100)", "TimeoutError"),
        ("x = 'a' * 10**9", "MemoryError: it takes more than 16 MB"),
        ("x = []\nwhile True:\n    x.append('a' * 1000)", "MemoryError"),
        ("x = list(range(10**6))\nx", "MemoryError"),
        ("10 ** 10 ** 8", "MemoryError"),
        ("def f():\n    f()\nf()", "RecursionError"),
        ("async def f():\n    await f()\nawait f()", "RecursionError"),
        ("(" * 5000 + ")" * 5000, "nested"),
        ("for i in range(10**6):\n    await read(str(i))", "may make 5 calls"),
        ("await asyncio.gather(*[read(str(i)) for i in range(10**6)])", "may make 5 calls"),
        (
            "for i in range(10**6):\n    try:\n        read()\n    except TypeError:\n        pass",
            "too often",
        ),
        (
            "for i in range(10**6):\n    try:\n        nope()\n    except NameError:\n        pass",
            "too often",
        ),
        ("raise ValueError('x' * 10**6)", "ValueError: xxx"),
    ],
)
def test_limits(interpreter: Interpreter, code: str, told: str) -> None:
    """What a program may use is limited; it cannot catch that, and the next one runs."""
    limits = replace(SMALL, max_seconds=0.2) if "TimeoutError" in told else SMALL
    _, outcome = waves(interpreter, code, limits)
    assert told in (outcome.error or "")
    assert len(outcome.error or "") < 3_000
    assert len(outcome.calls) <= 5
    assert interpreter.run(run_of("1 + 1")).value == "2"


# Small in the sandbox's memory, and too large for any other: each list holds the last one twice.
SHARED = "x = ['a']\nfor _ in range(60):\n    x = [x, x]\n"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (f"{SHARED}x", "<list, too large to be shown>"),
        (f"{SHARED}{{'a': (x, 1)}}", "<dict, too large to be shown>"),
        ("7 ** 10**6", "<int, too large to be shown>"),
    ],
)
def test_values_that_grow_outside_of_the_sandbox(
    interpreter: Interpreter, code: str, told: str
) -> None:
    """They are named, and never written out."""
    outcome = interpreter.run(run_of(code))
    assert (outcome.value, outcome.error) == (told, None)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (f"{SHARED}await read(x)", "the calls of a script may take 10,000,000 characters"),
        (f"{SHARED}await read(path={{'a': x}})", "the calls of a script may take 10,000,000 char"),
        ("await read(path=['a' * 10**7] * 100)", "the calls of a script may take 10,000,000 char"),
        (
            "await asyncio.gather(*[read('a' * 10**6 + str(i)) for i in range(50)])",
            "the calls of a script may take 10,000,000 characters",
        ),
        ("await read('a', limit=7 ** 10**6)", "read() takes no number of so many digits"),
    ],
)
def test_arguments_that_grow_outside_of_the_sandbox(
    interpreter: Interpreter, code: str, told: str
) -> None:
    """Nothing of such a call goes out, and a clear line says why."""
    outcome = interpreter.run(run_of(code))
    assert told in (outcome.error or "")
    assert not outcome.waiting


def test_long_programs(interpreter: Interpreter) -> None:
    """A program that is too long is not run."""
    outcome = interpreter.run(run_of("x = 1\n" * 20, Scripts(max_code_chars=100)))
    assert outcome.error == "the program has 120 characters; at most 100 are run"


@pytest.mark.parametrize(
    ("code", "printed", "value", "dropped"),
    [
        ("print('x' * 10**7)", "x" * 40, None, 10**7 + 1 - 40),
        ("for i in range(1000):\n    print('12345678')", "12345678\n" * 4 + "1234", None, 8960),
        ("print('a' * 9)\n'b' * 100", "a" * 9 + "\n", "b" * 30, 70),
        ("print('a' * 40)\n'b'", "a" * 40, "", 2),
    ],
)
def test_much_output(
    interpreter: Interpreter, code: str, printed: str, value: str | None, dropped: int
) -> None:
    """Output is cut at its limit, and what is left out is counted."""
    limits = Scripts(max_output_tokens=10)
    outcome = interpreter.run(run_of(code, limits))
    assert (outcome.printed, outcome.value, outcome.dropped) == (printed, value, dropped)
    assert outcome.error is None


# --- results, and the record ---------------------------------------------------------------------


def test_failures(interpreter: Interpreter) -> None:
    """A failed call raises a `ToolError` with its text, which a program may catch."""
    failed = result("no such file", status=ResultStatus.FAILED)
    outcome = interpreter.run(run_of("x = 1\nawait read('a')", c0=failed))
    assert outcome.error == "ToolError: no such file (line 2: await read('a'))"
    for call in ("await read('a')", "read('a')"):
        caught = f"try:\n    {call}\nexcept ToolError as error:\n    print(error)"
        outcome = interpreter.run(run_of(caught, c0=failed))
        assert (outcome.printed, outcome.error) == ("no such file\n", None)


def test_failures_as_values(interpreter: Interpreter) -> None:
    """With `return_exceptions`, failures are values, and all calls wait together."""
    code = (
        "import asyncio\nasync def get(p):\n    return (await read(p)).upper()\n"
        "tasks = [asyncio.create_task(get(p)) for p in 'ab']\n"
        "found = await asyncio.gather(*tasks, return_exceptions=True)\n"
        "[x if isinstance(x, str) else f'{type(x).__name__}: {x}' for x in found]"
    )
    assert interpreter.run(run_of(code)).waiting == [0, 1]
    failed = result("gone", status=ResultStatus.FAILED)
    outcome = interpreter.run(run_of(code, c0=failed, c1=result("hello", path="b")))
    assert (outcome.value, outcome.error) == ("['RuntimeError: gone', 'HELLO']", None)
    caught = code.replace(", return_exceptions=True", "")
    outcome = interpreter.run(run_of(caught, c0=failed, c1=result("hello", path="b")))
    assert (outcome.error or "").startswith("ToolError: gone (line 3: return (await read(p))")


def test_texts_are_left_alone(interpreter: Interpreter) -> None:
    """What a program writes into a file stays as it is, also if it is a program."""
    text = "\nimport asyncio\nasyncio.create_task(f())\n"
    outcome = interpreter.run(run_of(f"# x\nimport asyncio\nedit_file('''{text}''')"))
    assert json.loads(outcome.calls[0].arguments) == {"path": text}


def test_failures_that_nobody_awaits(interpreter: Interpreter) -> None:
    """A failure that the program does not notice is told all the same."""
    failed = result("no such file", status=ResultStatus.FAILED)
    code = "job = read('a')\nprint('fine')\nif not job:\n    await job"
    outcome = interpreter.run(run_of(code, c0=failed))
    assert outcome.printed == "fine\n"
    assert outcome.error == "ToolError: no such file (line 1: job = read('a')); nothing awaits it"


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    await asyncio.gather(read('a'), read('b'))\nexcept:\n    print('on')",
        "job = read('a')\nx = await read('b')\nprint('on')",
        "x = read('a')\nprint('on')",
    ],
)
def test_denial(interpreter: Interpreter, code: str) -> None:
    """What a person denies ends the script, whatever it would catch and what else is missing."""
    outcome = interpreter.run(run_of(code, c0=result("no, stop", status=ResultStatus.DENIED)))
    assert outcome.is_denied
    assert outcome.is_over
    assert (outcome.error or "").startswith(
        'call 0, read {"path":"a"}, was denied: no, stop (line '
    )
    assert outcome.printed == ""


def test_the_record_is_checked(interpreter: Interpreter) -> None:
    """A call that is not the recorded one ends the script before anything else runs."""
    code = "await read('a')\nawait edit_file('b')"
    for other in (
        result("x", path="b"),
        result("x", tool="find"),
        result("x", path="a", limit="1"),
    ):
        outcome = interpreter.run(run_of(code, c0=other))
        assert (outcome.error or "").startswith(
            "the record of this conversation differs: call 0 was "
        )
        assert len(outcome.calls) == 1
    same = ScriptResult("read", '{ "path" : "\\u0061" }', "x", ResultStatus.SUCCEEDED)
    assert interpreter.run(run_of(code, c0=same)).waiting == [1]


@pytest.mark.parametrize("code", ["await read('a')", "x = read('a')", "print('no calls')", "1 / 0"])
def test_gaps_in_the_record(interpreter: Interpreter, code: str) -> None:
    """Where later calls have results that this run never comes to, the script ends."""
    outcome = interpreter.run(run_of(code, c3=result("x")))
    assert outcome.is_over
    assert "the record of this conversation has a gap: call 3 was not made again" in (
        outcome.error or ""
    )


# --- what follows from the run alone -------------------------------------------------------------


def told(outcome: ScriptOutcome) -> tuple[object, ...]:
    """All that an outcome says; the place of an error is the sandbox's own."""
    error = outcome.error and outcome.error.partition(" (line ")[0]
    rest = (outcome.printed, outcome.dropped, outcome.value, outcome.is_denied)
    return (tuple(outcome.calls), tuple(outcome.waiting), *rest, error)


def all_of(outcome: ScriptOutcome) -> tuple[object, ...]:
    return (*told(outcome), outcome.error)


def steps(
    interpreter: Interpreter | ReferenceInterpreter, code: str, world: World, chance: random.Random
) -> Iterator[tuple[ScriptRun, ScriptOutcome]]:
    """The runs of a script to its end; of what it waits for some is there each time."""
    run = run_of(code)
    while True:
        outcome = interpreter.run(run)
        yield run, outcome
        if outcome.is_over:
            return
        some = chance.sample(list(outcome.waiting), chance.randint(1, len(outcome.waiting)))
        results = {number: world.result(outcome.calls[number]) for number in some}
        run = replace(run, results={**run.results, **results})


@given(
    programs(nested=False),
    st.sampled_from(["", "\n# return_exceptions"]),
    worlds(),
    st.randoms(use_true_random=False),
)
def test_as_the_reference(
    interpreter: Interpreter, code: str, hint: str, world: World, chance: random.Random
) -> None:
    """Whatever results are there, the sandbox says what plain Python says.

    So it does with an `asyncio` of its own, which it gets if the program names more of it.
    """
    reference = ReferenceInterpreter()
    for run, outcome in steps(interpreter, code + hint, world, chance):
        assert told(outcome) == told(reference.run(run))


@given(programs(), worlds(), st.randoms(use_true_random=False))
def test_determinism(
    interpreter: Interpreter, code: str, world: World, chance: random.Random
) -> None:
    """The same run has the same outcome; more results add calls, and change none."""
    calls: list[object] = []
    for run, outcome in steps(interpreter, code, world, chance):
        assert all_of(interpreter.run(run)) == all_of(outcome)
        assert list(outcome.calls[: len(calls)]) == calls
        calls = list(outcome.calls)
        assert set(outcome.waiting) == (
            {*range(len(calls))} - {*run.results} if outcome.waiting else set()
        )


@examples(quick=10)
@given(programs(), worlds(), st.randoms(use_true_random=False), st.randoms(use_true_random=False))
def test_the_order_of_results(
    interpreter: Interpreter, code: str, world: World, one: random.Random, other: random.Random
) -> None:
    """Which result comes first makes no difference in the end, if none ends the script early."""
    calm = replace(world, denied=0)
    *_, (_, first) = steps(interpreter, code, calm, one)
    *_, (_, second) = steps(interpreter, code, calm, other)
    assert all_of(first) == all_of(second)


@given(programs(helpers=False), worlds(), st.randoms(use_true_random=False))
def test_forgotten_awaits(
    interpreter: Interpreter, code: str, world: World, chance: random.Random
) -> None:
    """A program without its awaits does what it does with them."""
    forget(interpreter, code, world, chance)


def test_a_failure_beside_a_forgotten_await(interpreter: Interpreter) -> None:
    """A call that failed while another one was waited for counts as noticed, in both ways."""
    made = 'job = read("a")\n    text = await read("b")\n    await job'
    code = f"try:\n    {made}\nexcept ToolError: pass"
    failing = World(seed=0, failing=100, denied=0)
    forget(interpreter, code, failing, random.Random(0))


def forget(interpreter: Interpreter, code: str, world: World, chance: random.Random) -> None:
    """Compare a program with the same without its awaits."""
    forgetful = code.replace("= await read(", "= read(").replace("= await find(", "= find(")
    for run, outcome in steps(interpreter, code, world, chance):
        assert told(interpreter.run(replace(run, code=forgetful))) == told(outcome)


@pytest.mark.parametrize(
    "code",
    [
        "import random\n[random.random(), random.randint(0, 10**9), random.Random().random()]",
        "import time\n[time.time(), time.monotonic(), time.perf_counter(), time.process_time()]",
        "from datetime import datetime, date\n[str(datetime.now()), str(date.today())]",
        "import time\ntime.sleep(10**6)\nawait asyncio.sleep(10**6)\ntime.time()",
        "class A:\n    pass\n[hash('a'), hash((1, 'b')), id(A()), str({'a', 'b', 'c'})]",
        "[str(x) for x in {'b', 'a', 'd', 'c'}]",
    ],
)
def test_nothing_else_to_see(interpreter: Interpreter, code: str) -> None:
    """No clock, no randomness, no order of its own: another process sees the same."""
    first = interpreter.run(run_of(code))
    other = Interpreter()
    assert first.error is None
    assert all_of(other.run(run_of(code))) == all_of(first)
    other.close()
