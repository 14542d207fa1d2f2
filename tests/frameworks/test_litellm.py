"""Frameworks on litellm, with the decorator."""

from pathlib import Path

import pytest

from batchwrap.lab import Call, Raw, Reply, Script
from tests.frameworks.job import AFTER, FILES, run_example


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


@pytest.mark.parametrize("options", [(), ("--stream",)], ids=["plain", "stream"])
def test_aider(options: tuple[str, ...], tmp_path: Path) -> None:
    """Edits in its text pass through, and it does not notice that the provider was too busy."""

    def block(file: str) -> str:
        fence = "`" * 3
        edit = f"<<<<<<< SEARCH\n{FILES[file]}=======\n{AFTER[file]}>>>>>>> REPLACE\n"
        return f"{file}\n{fence}python\n{edit}{fence}\n"

    model = Script(
        Raw(status=429, headers={"retry-after-ms": "1"}, chunks=(b"{}",)),
        Reply("\n".join([*map(block, FILES), "Done."])),
    )
    run = run_example("with_aider.py", tmp_path, model, *options)
    assert run.files() == AFTER
    assert "Done." in run.printed and "Retrying" not in run.printed
    assert [entry.status for entry in run.chats] == [429, 200]
    assert all("tools" not in entry.json for entry in run.chats)
    assert run.stats["requests"] == 1
    assert run.stats["prompt_tokens"] == run.chats[-1].prompt_tokens
