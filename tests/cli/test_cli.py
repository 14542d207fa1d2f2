"""The command line: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import math
import re
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import batchwrap
from batchwrap.cli.demo_progress import showing
from batchwrap.demo import run
from batchwrap.demo.project import create
from batchwrap.lab import FileReader, Lab, Reply
from batchwrap.providers import plan_names
from tests.cli.commands import invoke, shown_on_a_terminal, subprocess_of
from tests.demo.jobs import job

# The shortest runs that are still whole: at this scale there is hardly anything to wait for.
FAST = ["demo", "--time-scale", "400"]
ANNOUNCED = "An agent does one job at a simulated provider: Cerebras Code Pro, September 2025."
# What takes its time to import.
SLOW = ["typer", "rich.console", "openai", "httpx", "httpx2", "starlette", "uvicorn", "matplotlib"]
KEY = {"THE_KEY": "secret-key"}


def real(base_url: str, *arguments: str) -> list[str]:
    endpoint = ["--base-url", base_url, "--model", "swift", "--api-key-env", "THE_KEY"]
    return ["demo", *endpoint, *arguments]


def test_version() -> None:
    """`--version` prints name and version."""
    result = invoke("--version")
    assert (result.exit_code, result.stdout) == (0, f"batchwrap {batchwrap.__version__}\n")


def test_no_command() -> None:
    """Without a command the help is shown, and the exit code is that of wrong usage."""
    result = invoke()
    assert result.exit_code == 2
    assert "demo" in result.output


def test_help() -> None:
    """The help of a command has examples, every option, and the exit codes."""
    result = invoke("demo", "--help")
    assert result.exit_code == 0
    for part in ("Examples:\n  ", "batchwrap demo --plot", "0 all arms", "1 one did", "2 wrong"):
        assert part in result.stdout
    for option in ("plot", "json", "stream", "keep", "base-url", "model", "api-key-env", "limits"):
        assert f"--{option} " in result.stdout


@pytest.mark.parametrize("command", ["analyze", "demo", "doctor", "eval", "limits", "serve"])
def test_what_all_commands_have(command: str) -> None:
    """Every command has `--json`, examples, documented exit codes, and `-h` for its help."""
    result = invoke(command, "-h")
    assert (result.exit_code, result.stderr) == (0, "")
    said = " ".join(result.stdout.split())
    for part in ("--json ", "Examples: batchwrap", "Exit codes: 0 ", "2 wrong usage"):
        assert part in said or (command, part) == ("limits", "2 wrong usage")


def test_a_script_for_completion() -> None:
    """There is a script that makes a shell ask."""
    assert invoke("--show-completion", "bash").exit_code == 0


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("d", ["demo", "doctor"]),
        ("demo --li", ["--limits"]),
        ("demo --limits cerebras/code-m", ["cerebras/code-max", "cerebras/code-max-2025-09"]),
        ("eval --limits a", ["auto", *(it for it in plan_names() if it.startswith("a"))]),
        ("eval --arm re", ["reminders"]),
        ("eval --arm bare --arm s", ["scripts"]),
        ("eval --task c", ["constant", "chain"]),
        ("eval --lab --model c", ["cooperates"]),
        ("serve --preset f", ["fast"]),
        ("serve --offer in", ["instead"]),
        ("serve --limits groq/", ["groq/free"]),
        ("analyze --plan groq/", ["groq/free"]),
        ("limits groq", ["groq", "groq/free"]),
        ("demo --limits nothing-like-it", []),
    ],
)
def test_shell_completion(typed: str, completed: list[str]) -> None:
    """A shell that asks is told commands, options, plans, presets, arms, tasks and models."""
    words = f"batchwrap {typed}"
    asked = {"_BATCHWRAP_COMPLETE": "complete_bash", "COMP_WORDS": words}
    told = invoke(env={**asked, "COMP_CWORD": str(words.count(" "))})
    assert (told.stdout.split(), told.stderr) == (completed, "")


@pytest.mark.thorough
def test_a_reader_that_has_seen_enough() -> None:
    """`batchwrap … | head -1` ends without an error on stderr."""
    with subprocess.Popen(
        [sys.executable, "-m", "batchwrap", *FAST], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read().decode() == f"{ANNOUNCED}\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_full_disk() -> None:
    """Output that cannot be written is one line and exit code 1, without a traceback."""
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "batchwrap", "limits"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[0] == "batchwrap: No space left on device"
    assert "Traceback" not in ran.stderr


@pytest.mark.thorough
def test_ctrl_c() -> None:
    """A command that is interrupted ends with 130, as programs do, without a traceback."""
    with subprocess.Popen(
        [sys.executable, "-m", "batchwrap", "demo", "--time-scale", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("bare")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_a_narrow_terminal() -> None:
    """On 60 columns no line of a table is wider than that, and NO_COLOR is obeyed."""
    shown = shown_on_a_terminal("-m", "batchwrap", "limits", "groq", columns=60)
    table = [line for line in shown.splitlines() if line.startswith(("│", "├", "└"))]
    assert table
    assert max(map(len, table)) <= 60
    assert "\x1b[3" not in shown


@pytest.mark.parametrize("command", ["demo", "eval", "doctor", "limits", "serve", "analyze"])
def test_the_first_sign(command: str) -> None:
    """On a terminal something is shown before anything is imported that takes its time."""
    shown = shown_on_a_terminal("-X", "importtime", "-m", "batchwrap", command, "--nonsense")
    before, _, after = shown.partition("batchwrap is starting …")
    slow = re.compile(rf"\| +({'|'.join(SLOW)})\b")
    assert slow.search(after) and not slow.search(before)


def test_the_first_line_of_a_demo() -> None:
    """What is played is said before the SDK, the server and the tables are imported."""
    code = (
        "import sys, typer, batchwrap.cli\n"
        f"def echo(text, **_): print(text, [it for it in {SLOW[1:]!r} if it in sys.modules])\n"
        "typer.echo, sys.argv[1:] = echo, ['demo', '--limits', 'groq/free', '--plot', 'x.png']\n"
        "sys.modules['batchwrap.demo.played_plan'] = None\n"
        "batchwrap.cli.main()"
    )
    ran = subprocess_of("-c", code)
    assert ran.stdout == "An agent does one job at a simulated provider: groq/free. []\n"


@pytest.mark.thorough
def test_a_demo_in_a_pipe(tmp_path: Path) -> None:
    """Plain lines for the turns, the table and the notes; the folders and the plot are left."""
    picture, kept = tmp_path / "tokens.png", tmp_path / "kept"
    result = invoke(*FAST, "--plot", str(picture), "--keep", str(kept), env={"FORCE_COLOR": "1"})
    assert (result.exit_code, result.stderr) == (0, f"{ANNOUNCED}\n")
    assert "\x1b" not in result.stdout
    lines = result.stdout.splitlines()
    assert lines[0].startswith("bare     turn  1 ")
    assert lines[0].endswith(" s  read_file README.md")
    assert sum(line.startswith("wrapped  done after ") for line in lines) == 1
    for part in ("round trips", "scripts", "/bare", "Simulated: the model", "Real: HTTP"):
        assert part in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    for arm in run.arms():
        assert "def parse_money(" in (kept / arm / "ledger/money.py").read_text(encoding="utf-8")


@pytest.mark.thorough
def test_json_from_a_process_of_its_own() -> None:
    """`python -m batchwrap demo --json` prints one object and nothing else, warnings included."""
    ran = subprocess_of("-m", "batchwrap", "demo", "--json", "--time-scale", "400")
    assert (ran.returncode, ran.stderr) == (0, "")
    numbers = json.loads(ran.stdout)
    assert numbers["done"] is True
    assert numbers["setting"]["time_scale"] == 400
    assert numbers["wrapped"]["round_trips"] < numbers["bare"]["round_trips"]
    assert numbers["ratio"]["prompt_tokens"] < 0.8


def test_a_real_endpoint() -> None:
    """All arms run against the URL, after a line on stderr that says what it costs."""
    with Lab(FileReader(job), api_keys=["secret-key"], tokens_per_s=math.inf, ttft_s=0) as lab:
        result = invoke(*real(lab.base_url, "--json", "--limits", "cerebras/code-max"), env=KEY)
        seen, base_url = lab.round_trips, lab.base_url
    assert result.exit_code == 0
    assert result.stderr.startswith("This spends real tokens of swift at http://127.0.0.1:")
    numbers = json.loads(result.stdout)
    assert sum(numbers[name]["round_trips"] for name in run.arms()) == seen
    assert numbers["setting"] == {
        "base_url": base_url,
        "simulated": False,
        "stream": False,
        "system_prompt_tokens": run.SYSTEM_PROMPT_TOKENS,
        "model": "swift",
        "limits": "cerebras/code-max",
    }


def test_a_server_that_wants_no_key() -> None:
    """A key is not needed; if the endpoint wants one, that is said, with the option."""
    no_key = ["--base-url", "{}", "--model", "swift"]
    with Lab(FileReader(job), tokens_per_s=math.inf, ttft_s=0) as lab:
        result = invoke("demo", "--json", *(it.format(lab.base_url) for it in no_key))
    assert result.exit_code == 0
    with Lab(FileReader(job), api_keys=["secret-key"], tokens_per_s=math.inf, ttft_s=0) as lab:
        result = invoke("demo", *(it.format(lab.base_url) for it in no_key))
    assert result.exit_code == 1
    assert "The bare arm failed: AuthenticationError" in result.stdout
    assert "No API key was sent. If the endpoint wants one, --api-key-env" in result.stdout


def test_the_limits_of_a_plan() -> None:
    """A simulated provider has the limits of the plan, and the result names it."""
    result = invoke(*FAST, "--json", "--limits", "deepseek/flash")
    assert result.exit_code == 0
    setting = json.loads(result.stdout)["setting"]
    assert setting["plan"] == "deepseek/flash"
    assert [it["kind"] for it in setting["limits"]] == ["concurrency"]


def test_a_job_that_is_not_done(tmp_path: Path) -> None:
    """The exit code is 1, the table is shown all the same, and there is nothing to plot."""
    picture = tmp_path / "tokens.png"
    with Lab(lambda _: Reply("No."), include_usage="never", ttft_s=0) as lab:
        result = invoke(*real(lab.base_url, "--stream", "--plot", str(picture)), env=KEY)
    assert result.exit_code == 1
    assert "The bare arm failed: it ended" in result.stdout
    assert "The wrapped arm failed: it ended" in result.stdout
    assert "not written" in result.stderr
    assert not picture.exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["demo", "--nonsense"], "--nonsense"),
        (["demo", "--limts", "x"], "--limts: there is no such option; did you mean '--limits'?"),
        (["--versoin"], "--versoin: there is no such option; did you mean '--version'?"),
        (["--nonsense"], "--nonsense"),
        (["nonsense"], "nonsense"),
        (["demo", "--plot"], "'--plot' requires an argument; see batchwrap demo --help"),
        (["demo", "more"], "(more); see batchwrap demo --help"),
        (["serve"], "'--upstream'; see batchwrap serve --help"),
        (["eval", "--lab", "--runs", "x"], "--runs: wants a whole number; see batchwrap eval"),
        (["demo", "--time-scale", "fast"], "--time-scale: wants a number; see batchwrap demo"),
        (["demo", "--base-url", "https://x.test", "--model", ""], "--model: is needed with --ba"),
        (["doctor", "--base-url", "https://x.test", "--call"], "--model: is needed with --call"),
        (
            [*real("https://x.test")[:-1], "sk-1-secret"],
            "--api-key-env: wants the name of a variable",
        ),
        (["analyze"], "'PATH'; see batchwrap analyze --help"),
        (["analyze", __file__, "--plan", "groq/fre"], "--plan: no plan 'groq/fre'"),
        (["demo", "--model", "m"], "--model: "),
        (["demo", "--api-key-env", "HOME"], "--api-key-env: "),
        (["demo", "--limits", "cerebras/code-mux"], "did you mean 'cerebras/code-max'?"),
        (["demo", "--base-url", "x.test"], "--base-url: "),
        (["demo", "--base-url", "https://x.test"], "--model: "),
        (["doctor", "--base-url", "https://"], "--base-url: "),
        (["doctor", "--base-url", "http://[bad"], "--base-url: "),
        (["eval", "--base-url", "http://x:port", "--model", "m"], "--base-url: "),
        (real("https://x.test"), "THE_KEY is not set"),
        ([*real("https://x.test"), "--time-scale", "9"], "--time-scale: "),
        (["demo", "--time-scale", "nan"], "--time-scale: "),
        (["demo", "--time-scale", "1e9"], "--time-scale: 1e+09 is not a number above 0 and at"),
        (["demo", "--plot", "/no/such/folder/x.png"], "--plot: "),
        (["demo", "--plot", "."], "--plot: "),
        (["demo", "--keep", __file__], "--keep: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(arguments: list[str], named: str) -> None:
    """The exit code is 2, nothing is run, and one line says what is wrong."""
    result = invoke(*arguments, env={"THE_KEY": ""})
    assert (result.exit_code, result.stdout) == (2, "")
    *before, line = result.stderr.splitlines()
    assert line.startswith("batchwrap: ") and named in line
    assert before in ([], [ANNOUNCED])


def test_an_unknown_plan() -> None:
    """Errors of the library reach the user as one line that begins with the command's name."""
    result = invoke(*real("https://x.test", "--limits", "cerebras/none"), env=KEY)
    assert result.exit_code == 2
    assert result.stderr.startswith("batchwrap: --limits: no plan 'cerebras/none'")
    assert result.stderr.count("\n") == 1


def test_folders_in_use_are_refused(tmp_path: Path) -> None:
    """`--keep` overwrites nothing."""
    (tmp_path / "wrapped").mkdir()
    (tmp_path / "wrapped/mine.txt").write_text("mine")
    result = invoke("demo", "--keep", str(tmp_path))
    assert result.exit_code == 2
    assert "not empty" in result.stderr


@pytest.mark.parametrize(
    ("package", "extra", "arguments"),
    [
        ("typer", "cli", ["--version"]),
        ("rich", "cli", ["demo"]),
        ("openai", "openai", ["demo"]),
        ("starlette", "lab", ["demo"]),
        pytest.param("openai", "openai", ["eval", "--lab"], marks=pytest.mark.thorough),
        pytest.param("starlette", "lab", ["eval", "--lab"], marks=pytest.mark.thorough),
        ("matplotlib", "plot", ["demo", "--plot", "x.png"]),
    ],
)
def test_without_an_extra(package: str, extra: str, arguments: list[str], tmp_path: Path) -> None:
    """One line that names the extra, exit code 2, and no traceback."""
    code = f"import sys; sys.modules[{package!r}] = None\nimport batchwrap.cli as c\nc.main()"
    ran = subprocess_of("-c", code, *arguments, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f'pip install "batchwrap[{extra}]"' in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_a_live_demo(tmp_path: Path) -> None:
    """On a terminal there is a row for each arm, and at the end it says how the arm ended."""
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=80)
    with showing(console) as watcher:
        arm = run.simulated("wrapped", create(tmp_path), time_scale=400, watcher=watcher)
    assert "\x1b[" in out.getvalue()
    rows = out.getvalue().splitlines()
    assert f"wrapped  done after {arm.turns} turns" in rows[-2]
