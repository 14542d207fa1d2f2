"""The interpreter's processes: they die, hang, are shared, and end with what they belong to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

from batchwrap.core.moves.script_run import ScriptOutcome, ScriptRun
from batchwrap.core.tools.script_functions import ScriptFunction
from batchwrap.drive import interpreter as module
from batchwrap.drive.interpreter import Interpreter, require
from batchwrap.errors import MissingExtraError
from batchwrap.options import Scripts
from tests.drive.script_programs import FUNCTIONS
from tests.drive.script_runs import result, run_of, waves

ROOT = Path(__file__).parents[2]


def workers() -> list[int]:
    """The processes of the pool."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,comm="], capture_output=True, text=True)
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    mine = [(pid, name) for pid, parent, name in rows if int(parent) == os.getpid()]
    return [int(pid) for pid, name in mine if "monty" in name]


def hit(workers: set[int], signal_number: int) -> None:
    """Send a signal to processes, and wait until it has taken effect."""
    for worker in workers:
        os.kill(worker, signal_number)
        os.waitid(os.P_PID, worker, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


class Sabotage(dict[str, ScriptFunction]):
    """Functions; when a script asks for one, something happens to its worker."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(FUNCTIONS)
        self.signal_number = signal_number
        self.others = workers()

    def get(self, name: str, default: Any = None) -> Any:
        """As the script asks for it."""
        hit({*workers()} - {*self.others}, self.signal_number)
        return super().get(name, default)


needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="no signals there")


@needs_signals
@pytest.mark.parametrize("happens", [signal.SIGKILL, signal.SIGSTOP])
def test_dead_workers(monkeypatch: pytest.MonkeyPatch, happens: int) -> None:
    """Workers that die or hang while nobody uses them are replaced."""
    monkeypatch.setattr(module, "_HUNG_S", 0.1)
    others, interpreter = workers(), Interpreter()
    assert interpreter.run(run_of("1 + 1", Scripts(max_seconds=0.1))).value == "2"
    hit({*workers()} - {*others}, happens)
    assert interpreter.run(run_of("1 + 1", Scripts(max_seconds=0.1))).value == "2"
    interpreter.close()


@needs_signals
@pytest.mark.parametrize(
    ("happens", "told"),
    [(signal.SIGKILL, "the script's process died"), (signal.SIGSTOP, "TimeoutError")],
)
def test_a_worker_that_dies_or_hangs(happens: int, told: str) -> None:
    """It costs its script, which is told so, and no other one."""
    interpreter = Interpreter()
    limits = Scripts(max_seconds=0.1)
    run = ScriptRun("await read('a')", Sabotage(happens), {}, limits)
    assert told in (interpreter.run(run).error or "")
    assert interpreter.run(run_of("1 + 1")).value == "2"
    interpreter.close()


def test_closing() -> None:
    """A closed interpreter has no workers; it may be closed again, and used again."""
    interpreter = Interpreter()
    interpreter.close()
    for _ in range(2):
        assert interpreter.run(run_of("1 + 1")).value == "2"
        interpreter.close()
        interpreter.close()


def test_closed_in_between() -> None:
    """Runs that meet a close come to their end."""
    interpreter = Interpreter()
    outcomes: list[ScriptOutcome] = []

    def play() -> None:
        outcomes.extend(interpreter.run(run_of("sum(range(1000))")) for _ in range(20))

    threads = [threading.Thread(target=play) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        outcomes.append(interpreter.run(run_of("sum(range(1000))")))
        interpreter.close()
    for thread in threads:
        thread.join()
    assert {outcome.value for outcome in outcomes} == {"499500"}
    interpreter.close()


def test_threads(interpreter: Interpreter) -> None:
    """More threads than workers may share one."""
    outcomes: list[ScriptOutcome] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(waves(interpreter, "await read('a')")[1]))
        for _ in range(3 * module.MAX_WORKERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome.error for outcome in outcomes] == [None] * len(threads)


@pytest.mark.anyio
async def test_the_event_loop_goes_on(interpreter: Interpreter) -> None:
    """While a hundred scripts compute, the event loop does much else."""
    ticks, done = 0, 0
    code = "for i in range(50_000):\n    pass\nx = await read('a')\nprint(x)"

    async def tick() -> None:
        nonlocal ticks
        while done < 100:
            ticks += 1
            await anyio.lowlevel.checkpoint()

    async def play() -> None:
        nonlocal done
        outcome = await interpreter.run_async(run_of(code))
        assert list(outcome.waiting) == [0]
        outcome = await interpreter.run_async(run_of(code, c0=result("hello")))
        assert outcome.printed == "hello\n"
        done += 1

    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        for _ in range(100):
            group.start_soon(play)
    assert ticks > 10 * done


@pytest.mark.anyio
async def test_cancelling(interpreter: Interpreter) -> None:
    """A run that is cancelled gives its worker back, and nobody waits for it."""
    limits = Scripts(max_seconds=0.2)
    for _ in range(2 * module.MAX_WORKERS):
        async with anyio.create_task_group() as group:
            group.start_soon(interpreter.run_async, run_of("while True:\n    pass", limits))
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
    outcome = await interpreter.run_async(run_of("1 + 1"))
    assert outcome.value == "2"


def test_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its package nothing is available, and the extra is named."""
    require()
    monkeypatch.setitem(sys.modules, "pydantic_monty", None)
    assert not Interpreter().is_available
    assert Interpreter().run(run_of("1 + 1")).error == "no script can be run in this process"
    with pytest.raises(MissingExtraError, match=r"batchwrap\[scripts\]"):
        require()


def test_what_goes_wrong_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If no worker can be started, the model is told, and the log has the error."""
    monkeypatch.setenv("MONTY_BIN", "/nowhere/monty")
    assert "the interpreter failed" in (Interpreter().run(run_of("1 + 1")).error or "")
    assert "a script could not be run" in caplog.text


def in_a_process(program: str) -> str:
    """What a Python process prints that uses an interpreter."""
    head = (
        "import os, sys, threading\n"
        "from batchwrap.drive.interpreter import Interpreter\n"
        "from batchwrap.core.moves.script_run import ScriptRun\n"
        "from batchwrap.options import Scripts\n"
        "def run_of(code, s=30.0): return ScriptRun(code, {}, {}, Scripts(max_seconds=s))\n"
        "interpreter = Interpreter()\n"
        "def value(): return interpreter.run(run_of('1 + 1')).value\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", head + program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        # From Python 3.12 on it warns of every fork beside a thread, which these are about.
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore:This process:DeprecationWarning",
        },
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_end_of_a_process() -> None:
    """A process that has not closed its interpreter ends, also while a script computes."""
    assert in_a_process("print(value())") == "2\n"
    code = "run_of('while True: pass', 0.5)"
    start = f"threading.Thread(target=interpreter.run, args=[{code}], daemon=True).start()\n"
    assert in_a_process(f"{start}print(value())") == "2\n"


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@needs_fork
@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)"])
def test_fork(end: str) -> None:
    """A child of a process that has run scripts runs none; its parent's go on, however it ends."""
    program = f"""
print(value())
def add(): print(interpreter.run(run_of('sum(range(300_000))')).value)
one = threading.Thread(target=add)
one.start()
sys.stdout.flush()
child = os.fork()
if not child:
    assert not interpreter.is_available and not Interpreter().is_available
    assert interpreter.run(run_of('1 + 1')).error == 'no script can be run in this process'
    interpreter.close()
    {end}
os.waitpid(child, 0)
one.join()
print(interpreter.is_available, [value() for _ in range(5)])
"""
    assert in_a_process(program) == "2\n44999850000\nTrue ['2', '2', '2', '2', '2']\n"


@needs_fork
def test_the_end_of_a_child() -> None:
    """A child that ends as any process does leaves its parent's workers alone."""
    program = """
value()
def worker():
    with interpreter._pool.checkout() as session: return session.worker_pid
before = worker()
child = os.fork()
if not child: sys.exit(0)
os.waitpid(child, 0)
print(worker() == before)
"""
    assert in_a_process(program) == "True\n"


@needs_fork
def test_fork_before_the_first_run() -> None:
    """A child may run scripts if its parent has run none, and both may."""
    program = """
child = os.fork()
os.write(1, f"{value()}\\n".encode())  # both write at the same time, so each in one piece
if child: os.waitpid(child, 0)
"""
    assert in_a_process(program) == "2\n2\n"
