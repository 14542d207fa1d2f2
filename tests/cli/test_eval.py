"""`batchwrap eval`: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import math
import threading
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from batchwrap.cli.app import app
from batchwrap.eval import eval_report, simulated
from batchwrap.eval.simulated import MODELS, solver
from batchwrap.lab import Lab, Raw, Reply
from tests.eval.helpers import KEY, interrupt, interrupting, quick_lab

ENV = {"THE_KEY": KEY}
TWO = ["--arm", "bare", "--arm", "instead", "--task", "answer", "--runs", "2"]


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["eval", *arguments], env=ENV, prog_name="batchwrap")


def real(lab: Lab | str, out: Path, *arguments: str) -> list[str]:
    base_url = lab if isinstance(lab, str) else lab.base_url
    endpoint = ["--base-url", base_url, "--model", "swift", "--api-key-env", "THE_KEY"]
    return [*endpoint, "--out", str(out), "--system-tokens", "200", *arguments]


def test_help() -> None:
    """The help has examples, the arms, the tasks, every option, and the exit codes."""
    text = invoke("--help").stdout
    for part in ("Examples:\n", "reminders", "chain", "Exit codes: 0", "1 the", "3 stopped", "130"):
        assert part in text
    for option in ("lab", "out", "arm", "task", "runs", "seed", "parallel", "max-tokens"):
        assert f"--{option} " in text


def test_in_the_lab(tmp_path: Path) -> None:
    """A table on stdout that says that it is simulated, a line for each run on stderr, a page."""
    page = tmp_path / "eval.md"
    result = invoke("--lab", *TWO, "--parallel", "2", "--report", str(page))
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    for part in ("SIMULATED provider", "round trips", "-7.0 (-78%)", "Newcombe", "2/2 2.0"):
        assert part in result.stdout
    first, *lines = result.stderr.splitlines()
    assert first == "4 runs; limits: auto; arms: bare, instead"
    assert sorted(line.partition("]")[0] for line in lines) == ["[1/4", "[2/4", "[3/4", "[4/4"]
    assert all("done; " in line for line in lines)
    assert page.read_text().startswith("# batchwrap eval: SIMULATED")


@pytest.mark.parametrize(("model", "round_trips"), [("cooperates", 2), ("never", 9)])
def test_models_of_the_lab(model: str, round_trips: int) -> None:
    """One model batches as soon as it can, another one never; JSON is all there is on stdout."""
    result = invoke("--lab", "--model", model, "--arm", "offer", "--task", "answer", "--json")
    numbers = json.loads(result.stdout)
    assert numbers["simulated"] is True
    assert numbers["setting"]["model"] == model
    assert numbers["arms"]["offer"]["measures"]["round_trips"]["value"] == round_trips
    assert numbers["arms"]["offer"]["measures"]["done"]["value"] == 1


def test_a_real_endpoint_and_again(tmp_path: Path) -> None:
    """It warns of the cost, writes each run down without the key, and reruns nothing."""
    out = tmp_path / "runs.jsonl"
    with quick_lab() as lab:
        result = invoke(*real(lab, out, *TWO))
        assert result.exit_code == 0
        assert result.stderr.startswith("This spends real tokens of swift at http://127.0.0.1:")
        assert f"swift at {lab.base_url}" in result.stdout
        assert "SIMULATED" not in result.stdout
        before = lab.round_trips
        again = invoke(*real(lab, out, *TWO, "--json"))
        assert (
            lab.round_trips
            == before
            == sum(json.loads(line)["round_trips"] for line in out.read_text().splitlines())
        )
    assert json.loads(again.stdout)["missing"] == 0
    assert KEY not in out.read_text() + result.output + again.output


def test_secrets_in_the_address(tmp_path: Path) -> None:
    """User, password and query of an address are not written down."""
    out = tmp_path / "runs.jsonl"
    with quick_lab() as lab:
        url = lab.base_url.replace("http://", "http://me:hidden@") + "?token=hidden"
        result = invoke(*real(url, out, "--dry-run", "--json", "--task", "answer", "--arm", "bare"))
        assert json.loads(result.stdout)["setting"]["base_url"] == lab.base_url


def test_the_limit(tmp_path: Path) -> None:
    """The exit code is 3, what there is is shown, and a higher limit goes on from there."""
    out = tmp_path / "runs.jsonl"
    with quick_lab() as lab:
        result = invoke(*real(lab, out, *TWO, "--max-tokens", "13000"))
        assert result.exit_code == 3
        assert "stopped before the limit of 13,000 tokens would be exceeded" in result.stderr
        assert "runs of the plan are missing" in result.stdout
        assert invoke(*real(lab, out, *TWO, "--max-tokens", "1000000")).exit_code == 0


def test_a_dry_run(tmp_path: Path) -> None:
    """It says how many runs, and about what they take; it asks nobody and writes nothing."""
    out = tmp_path / "runs.jsonl"
    prices = ["--price-in", "1", "--price-out", "2"]
    with quick_lab() as lab:
        result = invoke(*real(lab, out, *TWO, *prices, "--dry-run"))
        assert lab.journal == []
    assert result.exit_code == 0
    for part in ("ESTIMATE", "scripted model", "cost", "all"):
        assert part in result.stdout
    assert not out.exists()


def test_a_dry_run_counts_what_is_missing(tmp_path: Path) -> None:
    """Runs that the file has are not in the estimate."""
    out = tmp_path / "runs.jsonl"
    with quick_lab() as lab:
        invoke(*real(lab, out, "--arm", "bare", "--task", "answer", "--runs", "1"))
        result = invoke(*real(lab, out, *TWO, "--dry-run", "--json"))
        base_url = lab.base_url
    numbers = json.loads(result.stdout)
    assert numbers["estimate"] is True
    assert numbers["setting"]["base_url"] == base_url
    assert numbers["arms"]["bare"]["runs"] == 1
    assert numbers["arms"]["bare"]["round_trips"] == 9
    assert numbers["arms"]["instead"]["runs"] == 2
    assert numbers["arms"]["instead"]["round_trips"] == 4


def test_a_wrong_endpoint(tmp_path: Path) -> None:
    """The exit code is 1, a line says what the endpoint said, and the file has no run."""
    out = tmp_path / "runs.jsonl"
    with quick_lab(lambda _: Raw(404, chunks=(b'{"error": {"message": "no such model"}}',))) as lab:
        result = invoke(*real(lab, out, *TWO, "--json"))
    assert result.exit_code == 1
    assert "batchwrap: the endpoint failed: NotFoundError" in result.stderr
    assert "no such model" in json.loads(result.stdout)["stopped"]["failed"]
    assert out.read_text() == ""


def test_a_task_that_is_not_done(tmp_path: Path) -> None:
    """That is a result like any other: exit code 0, and the reason is told."""
    with quick_lab(lambda _: Reply("No.")) as lab:
        result = invoke(*real(lab, tmp_path / "runs.jsonl", *TWO))
    assert result.exit_code == 0
    assert "NOT done: there is no line with ANSWER:" in result.stderr
    assert "Not done: answer, bare, run 1: there is no line with ANSWER:" in result.stdout


def test_a_cut_line_is_told(tmp_path: Path) -> None:
    """A file whose last line was cut off is repaired, the user hears of it, and it goes on."""
    out = tmp_path / "runs.jsonl"
    one = ["--arm", "bare", "--task", "answer", "--runs", "2"]
    with quick_lab() as lab:
        invoke(*real(lab, out, *one))
        out.write_bytes(out.read_bytes()[:-9])
        result = invoke(*real(lab, out, *one, "--json"))
    assert f"{out}: The last line was cut off" in result.stderr
    assert "[1/1] answer bare 2: done" in result.stderr
    assert json.loads(result.stdout)["missing"] == 0


def test_ctrl_c(tmp_path: Path) -> None:
    """The exit code is 130, a line says where the runs are, and the same command goes on."""
    out = tmp_path / "runs.jsonl"
    with quick_lab(interrupting(solver(MODELS["never"]), 12)) as lab:  # in the second run
        result = invoke(*real(lab, out, *TWO))
        assert result.exit_code == 130
        *_, stopping, ended, saved = result.stderr.splitlines()
        assert stopping.startswith("stopping: ") and ": stopped; " in ended
        assert saved == (
            f"batchwrap: interrupted; run the same command again to continue: {out} has 1 of 4 runs"
        )
        assert invoke(*real(lab, out, *TWO)).exit_code == 0


def test_ctrl_c_at_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while the numbers are computed, which takes a while, it says where the runs are."""
    out, one = tmp_path / "runs.jsonl", ["--arm", "bare", "--task", "answer", "--runs", "1"]

    def summarise(*_: Any) -> None:
        interrupt()
        threading.Event().wait()

    monkeypatch.setattr(eval_report, "summarise", summarise)
    with quick_lab() as lab:
        result = invoke(*real(lab, out, *one))
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1].endswith(f": {out} has 1 of 1 runs")


def test_ctrl_c_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is saved, that is said, with the option that saves."""

    def model(_: dict[str, Any]) -> Reply:
        interrupt()
        return Reply("No.")

    monkeypatch.setattr(simulated, "solver", lambda _: model)
    result = invoke("--lab", "--arm", "bare", "--task", "answer")
    assert result.exit_code == 130
    last = result.stderr.splitlines()[-1]
    assert last == "batchwrap: interrupted; nothing is saved without --out FILE"


def test_ctrl_c_in_a_dry_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """An estimate that nobody waits for is left out."""

    def model(_: dict[str, Any]) -> Reply:
        interrupt()
        return Reply("No.")

    monkeypatch.setattr(simulated, "solver", lambda _: model)
    result = invoke("--lab", "--dry-run", "--arm", "bare")
    assert (result.exit_code, result.stdout) == (130, "")


def test_a_server_that_wants_no_key(tmp_path: Path) -> None:
    """A key is not needed; if the endpoint wants one, that is said, with the option."""
    one = ["--arm", "bare", "--task", "answer", "--runs", "1", "--system-tokens", "200"]
    for keys, code in (None, 0), ([KEY], 1):
        with Lab(solver(MODELS["never"]), api_keys=keys, ttft_s=0, tokens_per_s=math.inf) as lab:
            where = ["--base-url", lab.base_url, "--model", "m"]
            result = invoke(*where, "--out", str(tmp_path / f"{code}.jsonl"), *one)
        assert result.exit_code == code
    assert "the endpoint failed: AuthenticationError" in result.stderr
    assert "No API key was sent. If the endpoint wants one, --api-key-env" in result.stderr


def test_the_limits_of_a_plan() -> None:
    """In the lab the provider has the limits of the plan, and the result names it."""
    given = ["--lab", "--limits", "deepseek/flash", "--arm", "offer", "--task", "answer"]
    result = invoke(*given, "--runs", "1")
    assert result.exit_code == 0
    assert result.stderr.startswith("1 runs; limits: deepseek/flash; arms: offer\n")
    assert "The wrapped arms keep the limits of deepseek/flash, which the sim" in result.stdout


NOWHERE = "https://x.test/v1"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--base-url: "),
        (["--lab", "--base-url", NOWHERE], "--base-url: "),
        (["--base-url", "x.test", "--model", "m"], "--base-url: "),
        (["--base-url", NOWHERE], "--model: "),
        (["--base-url", NOWHERE, "--model", "m"], "--out: "),
        ([*real(NOWHERE, Path("x.jsonl"))[:5], "NO_KEY", "--out", "x.jsonl"], "NO_KEY is not set"),
        (real(NOWHERE, Path("/none/x.jsonl")), "--out: "),
        (["--lab", "--model", "swift"], "--model: "),
        (["--lab", "--model", "cooperate"], "did you mean 'cooperates'?"),
        (["--lab", "--arm", "nonsense"], "--arm: "),
        (["--lab", "--arm", "reminder"], "did you mean 'reminders'?"),
        (["--lab", "--arm", "mine=evry=2"], "did you mean 'every'?"),
        (["--lab", "--arm", "mine=preset=fats"], "preset: 'fats' is not one of fast, careful; did"),
        (["--lab", "--arm", "mine=reminders=no"], "reminders can only be none"),
        (["--lab", "--arm", "mine=every=x"], "--arm: every: 'x' is not a whole number"),
        (["--lab", "--api-key-env", "HOME"], "--api-key-env: is only for a real endpoint"),
        (["--lab", "--task", "answr"], "did you mean 'answer'?"),
        (["--lab", "--limits", "cerebras/code-mux"], "did you mean 'cerebras/code-max'?"),
        (["--lab", "--arm", "bare", "--arm", "bare"], "--arm: "),
        (["--lab", "--task", "nonsense"], "--task: "),
        (["--lab", "--runs", "0"], "--runs"),
        (["--lab", "--max-cost", "1"], "--max-cost: "),
        (["--lab", "--price-in", "1"], "--price-in: "),
        (["--lab", "--price-in", "nan", "--price-out", "1"], "--price-in: "),
        (["--lab", "--price-in", "-1", "--price-out", "1"], "--price-in: "),
        (["--lab", "--limits", "cerebras/none"], "limits: "),
        (["--lab", "--limits", "cerebras/code-max", "--parallel", "2"], "--limits: "),
        (["--lab", "--report", "."], "--report: "),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_wrong_usage(
    arguments: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is 2, nothing is run or written, and the last line says what is wrong."""
    monkeypatch.chdir(tmp_path)
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert named in result.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
