"""Frameworks on litellm, with the decorator."""

from pathlib import Path

import pytest

from batchwrap.lab import Call, Raw, Reply, Script
from tests.frameworks.job import AFTER, FILES, TASK, Run, run_example, run_program, shown_in


def run_command_line(guide: str, folder: Path, model: Script, *arguments: str) -> Run:
    """Run what a guide shows for the command line, with the arguments of the agent."""
    program = folder / "program.py"
    program.write_text(shown_in(guide)[-1], "utf-8")
    return run_program(program, folder, model, *arguments)


def bash(*commands: str, call_id: str) -> Reply:
    """Several commands in one call."""
    calls = [{"command": command} for command in commands]
    return Reply(calls=(Call("multi_bash", {"calls": calls}, id=call_id),))


def test_mini_swe_agent(tmp_path: Path) -> None:
    """A list of commands comes one by one, up to the first that fails; the model sees one call."""
    size = "sed -i 's/SIZE = 1/SIZE = 2/'"
    end = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT; echo Done."
    model = Script(
        bash("cat a.py", "cat b.py", "cat c.py", call_id="call_reads"),
        bash(
            "sed -i s/NAME/TITLE/ a.py",
            f"{size} a.py b.py",
            "false",
            "rm c.py",
            call_id="call_edits",
        ),
        Reply(calls=(Call("bash", {"command": f"{size} c.py"}),)),
        Reply(calls=(Call("bash", {"command": end}),)),
    )
    run = run_example("with_mini_swe_agent.py", tmp_path, model)
    assert run.files() == AFTER
    assert "'submission': 'Done." in run.printed
    assert [entry.status for entry in run.chats] == [200] * 4
    assert run.stats["items"] == 7 and run.stats["local_answers"] == 4
    assert list(run.made().values()) == ["multi_bash", "multi_bash", "bash"]
    results = run.results()
    assert results["call_reads"].count('"returncode": 0') == 3
    assert results["call_edits"].count('"returncode": 0') == 2
    assert "[4/4] not run" in results["call_edits"]


def test_mini_swe_agent_from_the_command_line(tmp_path: Path) -> None:
    """The program of the guide is `mini`, and its agent gets a list of commands one by one."""
    end = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
    model = Script(bash("cat a.py", "cp a.py d.py", call_id="call_1"), bash(end, call_id="call_2"))
    where = ("--yolo", "--exit-immediately", "--model", "openai/lab-model", "--output", "run.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MSWEA_CONFIGURED", "true")  # it would ask for keys
        patch.setenv("MSWEA_COST_TRACKING", "ignore_errors")
        run = run_command_line("mini-swe-agent", tmp_path, model, *where, "--task", TASK)
    assert (tmp_path / "d.py").read_text() == FILES["a.py"]
    assert len(run.chats) == 2
    assert run.made() == {"call_1": "multi_bash"}


def busy_model() -> Script:
    """A model that edits all files in one text, at a provider that refuses the first request."""

    def block(file: str) -> str:
        fence = "`" * 3
        edit = f"<<<<<<< SEARCH\n{FILES[file]}=======\n{AFTER[file]}>>>>>>> REPLACE\n"
        return f"{file}\n{fence}python\n{edit}{fence}\n"

    return Script(
        Raw(status=429, headers={"retry-after-ms": "1"}, chunks=(b"{}",)),
        Reply("\n".join([*map(block, FILES), "Done."])),
    )


def test_aider_from_the_command_line(tmp_path: Path) -> None:
    """The program of the guide is `aider`, which does not notice that the provider was busy."""
    where = ("--model", "openai/lab-model", "--edit-format", "diff", "--no-git", "--yes-always")
    quiet = ("--analytics-disable", "--no-check-update", "--no-show-model-warnings")
    run = run_command_line(
        "aider", tmp_path, busy_model(), *where, *quiet, "--message", TASK, *FILES
    )
    assert run.files() == AFTER
    assert "Retrying" not in run.printed
    assert [entry.status for entry in run.chats] == [429, 200]


@pytest.mark.parametrize("options", [(), ("--stream",)], ids=["plain", "stream"])
def test_aider(options: tuple[str, ...], tmp_path: Path) -> None:
    """Edits in its text pass through, and it does not notice that the provider was too busy."""

    run = run_example("with_aider.py", tmp_path, busy_model(), *options)
    assert run.files() == AFTER
    assert "Done." in run.printed and "Retrying" not in run.printed
    assert [entry.status for entry in run.chats] == [429, 200]
    assert all("tools" not in entry.json for entry in run.chats)
    assert run.stats["requests"] == 1
    assert run.stats["prompt_tokens"] == run.chats[-1].prompt_tokens
