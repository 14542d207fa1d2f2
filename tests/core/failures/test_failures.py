"""What a tool's result tells of its call: real texts of agents, and healthy texts about errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwrap
from batchwrap.core.failures import ResultStatus, looks_failed, status_of

DATA = Path(__file__).parents[1] / "data"
# Texts of agents, with their source; some as remembered from use. The last group is made.
FAILED: list[dict[str, str]] = json.loads((DATA / "failed_results.json").read_text("utf-8"))
# Confirmations, source, documentation, logs, search results, test reports, JSON, command output.
HEALTHY: list[dict[str, str]] = json.loads((DATA / "healthy_results.json").read_text("utf-8"))
AGENTS = [
    ("claude code", "opencode", "codex", "cline", "roo code", "kilo code", "gemini cli"),
    ("qwen code", "openai-agents", "pydantic-ai", "langchain, langgraph", "smolagents", "crewai"),
    ("autogen", "goose", "aider", "continue", "openhands", "swe-agent", "crush", "mcp"),
    ("anthropic messages",),
]


def _named(case: dict[str, str]) -> str:
    return f"{case.get('agent') or case['kind']}: {case['text'][:40]!r}"


@pytest.mark.parametrize("case", FAILED, ids=_named)
def test_a_text_that_an_agent_has(case: dict[str, str]) -> None:
    """What says that a call failed, or that somebody denied it, is understood."""
    assert case["source"]
    assert status_of(case["text"]) == case["status"]


@pytest.mark.parametrize("case", HEALTHY, ids=_named)
def test_a_healthy_result_that_talks_about_errors(case: dict[str, str]) -> None:
    """What talks about errors, or begins with one, is a text and no failure."""
    assert status_of(case["text"]) is ResultStatus.SUCCEEDED


def test_the_texts_cover_the_agents() -> None:
    """Each agent that we know of has its texts, and the healthy results are many."""
    known = {case["agent"].lower() for case in FAILED}
    assert {name for names in AGENTS for name in names} <= known
    assert len(HEALTHY) >= 200


@pytest.mark.parametrize(
    "text",
    [
        "The human reviewer declined the change.",
        "User did not grant permission",
        "The user has refused to allow this tool to run.",
        "Blocked by PreToolUse hook: tests must pass first",
        "This command requires approval",
        "Write to /etc/hosts was denied by sandbox policy.",
        "The operation was canceled by the user.",
        "I'm sorry, the user rejected this edit",
        "Sorry, this action is not permitted by policy",
        "The tool was not run because the user rejected it",
        "The call to edit_file was declined",
        "ERROR: The user denied your request to run this tool",
        "Approval was not given.",
        "The USER canceled this tool call.",
        "Permission to use Bash with command rm -rf build has been denied.",
        "Human feedback: rejected",
        "User selected 'No'",
    ],
)
def test_the_next_agents_words(text: str) -> None:
    """A refusal is known by who said no to what, not by a list of sentences."""
    assert status_of(text) is ResultStatus.DENIED


@pytest.mark.parametrize(
    "text",
    [
        "If the user rejects it, the tool call was rejected for good.",
        "The tool call may be rejected by the user.",
        "Denied requests are logged by the policy engine.",
        "Users cancelled their orders last week.",
        "User model updated",
        "Permission model changed to deny by default",
        "Access log rotated",
        "The user rejected the first design, since the button was too small.",
    ],
)
def test_what_only_sounds_like_a_refusal(text: str) -> None:
    """A sentence that is general, hypothetical, or about something else denies nothing."""
    assert status_of(text) is ResultStatus.SUCCEEDED


AROUND = [
    "{}",
    "\n\n{}\n",
    "> {}",
    "**{}**",
    "`{}`",
    '"{}"',
    "```\n{}\n```",
    "\x1b[31m{}\x1b[0m",
    "❌ {}",
    "[edit_file] {}",
    "[edit_file for 'a.py'] Result:\n{}",
    "Tool result: {}",
    "Observation: {}",
    "edit_file: {}",
    "<result>{}</result>",
    "<tool_result>\n{}\n</tool_result>",
    "Error: {}",
]
CORES = [
    ("User rejected the tool call", ResultStatus.DENIED),
    ("The user denied this edit. The file was NOT modified.", ResultStatus.DENIED),
    ("Tool execution was not approved.", ResultStatus.DENIED),
    ("Error: no such line", ResultStatus.FAILED),
    ("Could not find oldString in the file.", ResultStatus.FAILED),
]


@pytest.mark.parametrize(("text", "status"), CORES)
@pytest.mark.parametrize("around", AROUND)
def test_what_stands_around_a_message(around: str, text: str, status: ResultStatus) -> None:
    """Headers, labels, quotes, markdown, tags and colours change nothing."""
    assert status_of(around.format(text)) is status


@pytest.mark.parametrize(("text", "status"), CORES)
def test_a_message_as_json(text: str, status: ResultStatus) -> None:
    """The same as content parts, inside of an object, and as Python writes a dict."""
    parts = [{"type": "text", "text": text}]
    for told in (
        parts,
        text,
        {"output": text},
        {"content": parts, "isError": True},
        {"success": False, "message": text},
        {"result": {"is_error": True, "content": text}},
    ):
        assert status_of(json.dumps(told)) is status
    assert status_of(str({"error": text})) is status


def test_a_flag_beside_the_text() -> None:
    """Anthropic's `is_error` says that it failed; the text, whether it was denied."""
    assert status_of("1\talpha") is ResultStatus.SUCCEEDED
    assert status_of("1\talpha", is_error=True) is ResultStatus.FAILED
    assert status_of("The user declined this edit.", is_error=True) is ResultStatus.DENIED


@pytest.mark.parametrize("flag", ['"isError": true', '"is_error": true', '"success": false'])
def test_a_flag_of_a_large_object(flag: str) -> None:
    """It is seen at the beginning or the end of an object that is too large to parse."""
    rows = ",".join(["[1, 2, 3]"] * 50_000)
    assert looks_failed(f'{{"rows": [{rows}], {flag}}}')
    assert looks_failed(f'{{{flag}, "rows": [{rows}]}}')
    assert not looks_failed(f'{{"rows": [{rows}]}}')


@pytest.mark.parametrize(
    ("text", "failed"),
    [
        ("Process exited with code 1\nOutput:\n{}", True),
        ("Chunk ID: 1\nWall time: 3 s\nProcess exited with code 2\nOutput:\n{}", True),
        ("{}\nExit Code: 1\nProcess Group PGID: 7", True),
        ("{}\n[The command completed with exit code 1.]", True),
        ("<returncode>1</returncode>\n<output>{}</output>", True),
        ("<tool_use_error>{}</tool_use_error>", True),
        ("Exit code: 0\nOutput:\n{}", False),
        ("{}", False),
        ("Error: the first line\n{}", False),
        ("User rejected the tool call\n{}", False),
    ],
)
def test_a_result_of_ten_megabytes(text: str, failed: bool) -> None:
    """A flag counts in front and behind, however large the result; words only in short ones."""
    assert looks_failed(text.format("error: in the output\n" * 500_000)) is failed


def test_source_and_documentation() -> None:
    """No source file of this package and no page of its documentation reads as a failure."""
    package = Path(batchwrap.__file__).parent
    files = [*package.rglob("*.py"), *package.rglob("*.toml"), *Path("docs").glob("*.md")]
    assert len(files) > 200
    assert [file.name for file in files if looks_failed(file.read_text("utf-8"))] == []


LINES = [case["text"] for case in FAILED] + [case["text"] for case in HEALTHY]


@given(st.sampled_from(LINES), st.integers(1, 3))
def test_numbered_lines_are_a_file(text: str, spaces: int) -> None:
    """Whatever a file says: with numbers in front of its lines it is a file."""
    numbered = (f"{n:>{4 + spaces}}\t{line}" for n, line in enumerate(text.split("\n"), 1))
    assert not looks_failed("\n".join(numbered))


@given(st.lists(st.sampled_from(LINES), min_size=2, max_size=6))
def test_search_hits_are_a_search_result(texts: list[str]) -> None:
    """Whatever the lines say that a search has found: it has found them."""
    hits = (f"src/a.py:{n}:{text.splitlines()[0]}" for n, text in enumerate(texts) if text)
    assert not looks_failed("\n".join(hits))


RUDE = ["[", "(", "{", "<", '"', "'", "`", "*", ">", "#", " ", "\n", "\t", ":", ",", "\\", "\x1b["]
PIECES = [
    *RUDE,
    "a_",
    "a/",
    "user ",
    "the ",
    "tool ",
    "denied ",
    "error: ",
    "exit code ",
    "{'",
    "é",
]


@given(st.lists(st.sampled_from(PIECES), max_size=400).map("".join) | st.text(max_size=400))
def test_any_text(text: str) -> None:
    """Nothing is raised, whatever the text."""
    assert status_of(text) in ResultStatus


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(LINES),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "status", "exit", "code", "output", "result", "isError"]),
            inner,
        )
    ),
    max_leaves=10,
)


@given(JSON)
def test_any_json(value: Any) -> None:
    """The same for JSON with fields that mean something, of any type."""
    assert status_of(json.dumps(value)) in ResultStatus
    assert status_of(str(value)) in ResultStatus


def test_deep_json() -> None:
    """Nesting that no parser likes is a text."""
    assert not looks_failed('{"result": ' * 300 + "1" + "}" * 300)
    assert not looks_failed("[" * 5_000 + "]" * 5_000)
