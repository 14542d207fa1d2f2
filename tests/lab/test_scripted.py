"""The scripted models, asked directly: what they do next follows from the request alone."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from batchwrap.errors import ConfigError
from batchwrap.lab import Call, FileReader, Habit, Raw, Reply, Script
from batchwrap.lab.transcript import calls_of, flat

PROMPT = "Replace foo by bar in src/a.py, src/b.py and docs/c.md."
PATHS = ["src/a.py", "src/b.py", "docs/c.md"]
REMINDER = "Use multi_read for several files."


def tool(name: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties), **more}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def multi(name: str = "multi_read", path: str = "path", **more: Any) -> dict[str, Any]:
    item = {"type": "object", "properties": {path: {"type": "string"}}, "required": [path]}
    return tool(name, {"files": {"type": "array", "items": item, **more}})


SINGLE = tool("read_file", {"path": {"type": "string"}})
EDIT = tool("edit_file", {"path": {"type": "string"}, "text": {"type": "string"}})
TOOLS = [SINGLE, EDIT, multi()]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def made(name: str, arguments: Any, result: str, call_id: str = "call_1") -> list[dict[str, Any]]:
    """A turn with one call, and its result."""
    function = {"name": name, "arguments": orjson.dumps(arguments).decode()}
    calls = [{"id": call_id, "type": "function", "function": function}]
    return [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": call_id, "content": result},
    ]


def read(path: str, text: str = "foo") -> list[dict[str, Any]]:
    return made("read_file", {"path": path}, text)


def ask(model: FileReader, messages: list[Any], tools: list[Any] = TOOLS, **more: Any) -> Any:
    """The one call that the model makes next; its final text if it makes none."""
    reply = model({"messages": messages, "tools": tools, **more})
    return reply.calls[0] if reply.calls else reply.text


def test_script_plays_in_order() -> None:
    """Replies come one by one; asking for more than there are is an error that says so."""
    replies = (Reply("a"), Raw(status=500))
    script = Script(*replies)
    assert (script({}), script({}), script.left) == (*replies, 0)
    with pytest.raises(RuntimeError, match="2 replies"):
        script({})


def test_reads_one_by_one() -> None:
    """Without a reminder it reads the named files with the single tool, in their order."""
    messages: list[Any] = [user(PROMPT)]
    for path in PATHS:
        assert ask(FileReader(), messages) == Call("read_file", {"path": path})
        messages += read(path)
    assert ask(FileReader(), messages) == "Done."


def test_a_reminder_makes_it_batch() -> None:
    """With the multi-tool's name in the prompt it asks for all files at once."""
    wanted = Call("multi_read", {"files": [{"path": path} for path in PATHS]})
    assert ask(FileReader(), [user(f"{PROMPT} {REMINDER}")]) == wanted
    parts = [{"type": "text", "text": PROMPT}, {"type": "text", "text": REMINDER}]
    assert ask(FileReader(), [{"role": "user", "content": parts}]) == wanted


def test_a_reminder_in_a_tool_result_counts() -> None:
    """A reminder at the end of a result makes it batch what is left."""
    messages = [user(PROMPT), *read(PATHS[0], f"foo\n\n{REMINDER}")]
    left = [{"path": path} for path in PATHS[1:]]
    assert ask(FileReader(), messages) == Call("multi_read", {"files": left})


def test_system_prompt_and_description_do_not_remind() -> None:
    """What stands at the top is forgotten: only users and tools remind."""
    described = multi()
    described["function"]["description"] = REMINDER
    messages = [{"role": "system", "content": REMINDER}, user(PROMPT)]
    call = ask(FileReader(), messages, [SINGLE, described])
    assert call.name == "read_file"


def test_another_name_that_contains_the_tools_does_not_remind() -> None:
    """Only the multi-tool's whole name is a reminder."""
    assert ask(FileReader(), [user(f"{PROMPT} Not multi_read_all.")]).name == "read_file"


@pytest.mark.parametrize(("turns", "name"), [(1, "multi_read"), (2, "read_file")])
def test_a_reminder_wears_off(turns: int, name: str) -> None:
    """A reminder counts for as many turns as the habit lasts."""
    files = " ".join(f"f{n}.py" for n in range(9))
    messages = [user(f"Read {files}. {REMINDER}")]
    for n in range(turns):
        messages += read(f"f{n}.py")
    assert ask(FileReader(habit_turns=2), messages).name == name


@pytest.mark.parametrize(
    ("turns", "name"), [(0, "multi_read"), (1, "multi_read"), (2, "read_file")]
)
def test_own_use_keeps_the_habit(turns: int, name: str) -> None:
    """A multi-call of its own counts like a reminder."""
    files = [f"f{n}.py" for n in range(9)]
    messages = [user("Read " + " ".join(files))]
    messages += made("multi_read", {"files": [{"path": "f8.py"}]}, "[1/1] read_file f8.py\nfoo")
    for n in range(turns):
        messages += read(f"f{n}.py")
    assert ask(FileReader(habit_turns=3 if turns else 1), messages).name == "multi_read"
    assert ask(FileReader(habit_turns=2), messages).name == name


def test_habit_of_no_turns_never_batches() -> None:
    """With `turns=0` no reminder has an effect."""
    assert ask(FileReader(habit=Habit(turns=0)), [user(PROMPT + REMINDER)]).name == "read_file"
    with pytest.raises(ConfigError, match=r"Habit\.turns"):
        Habit(turns=-1)


def test_batch_results_count_as_read() -> None:
    """After a multi-call the job gets each file's own text."""
    seen: dict[str, str] = {}

    def job(files: dict[str, str], request: dict[str, Any]) -> list[Call]:
        seen.update(files)
        return []

    result = (
        "[1/3] read_file src/a.py\nA\n[2/3] read_file src/b.py\nB\n\n[3/3] read_file docs/c.md\nC"
    )
    items = [{"path": path} for path in PATHS]
    messages = [user(PROMPT), *made("multi_read", {"files": items}, result)]
    assert ask(FileReader(job), messages) == "Done."
    assert seen == {"src/a.py": "A", "src/b.py": "B\n", "docs/c.md": "C"}


def test_items_that_were_not_run_are_read_again() -> None:
    """A file whose item was not run still is to be read."""
    result = "[1/2] read_file a.py\nA\n[2/2] not run"
    items = [{"path": "a.py"}, {"path": "b.py"}]
    messages = [user("Read a.py, b.py"), *made("multi_read", {"files": items}, result)]
    assert ask(FileReader(), messages) == Call("read_file", {"path": "b.py"})


def test_a_single_file_is_read_singly() -> None:
    """One file is no batch, reminder or not."""
    assert ask(FileReader(), [user(f"Read a.py. {REMINDER}")]).name == "read_file"


def test_the_schemas_cap_is_heeded() -> None:
    """It asks for no more items than `maxItems`, unless its habit is to ignore it."""
    tools = [SINGLE, multi(maxItems=2)]
    messages = [user(PROMPT + " " + REMINDER)]
    assert len(ask(FileReader(), messages, tools).arguments["files"]) == 2
    heedless = FileReader(habit=Habit(heeds_max_items=False))
    assert len(ask(heedless, messages, tools).arguments["files"]) == 3


def test_hidden_single_tool() -> None:
    """Where only the multi-tool is on offer, it uses it without a reminder."""
    assert ask(FileReader(), [user("Read a.py")], [multi()]).name == "multi_read"


def test_tool_and_parameter_names_of_other_agents() -> None:
    """The tool is found by name and the path's parameter by the schema."""
    tools = [tool("view", {"filePath": {}}), multi("multi_read_view", "filePath")]
    assert ask(FileReader(), [user("Read a.py")], tools) == Call("view", {"filePath": "a.py"})
    reminded = [user("Read a.py, b.py: multi_read_view")]
    wanted = {"files": [{"filePath": "a.py"}, {"filePath": "b.py"}]}
    assert ask(FileReader(), reminded, tools) == Call("multi_read_view", wanted)


def test_no_tools_no_calls() -> None:
    """Without a read tool, or with tools switched off, it ends its turn."""
    assert ask(FileReader(), [user(PROMPT)], []) == "Done."
    assert ask(FileReader(), [user(PROMPT)], tool_choice="none") == "Done."


def replace_all(files: dict[str, str], request: dict[str, Any]) -> list[Call]:
    """A job: one edit for each file that was read."""
    return [Call("edit_file", {"path": path, "text": "bar"}) for path in files]


def test_job_is_done_call_by_call() -> None:
    """After reading it makes the job's calls, one a turn, and then ends its turn."""
    model = FileReader(replace_all, final="Replaced.")
    messages: list[Any] = [user(PROMPT)]
    for path in PATHS:
        messages += read(path)
    for path in PATHS:
        call = ask(model, messages)
        assert call == Call("edit_file", {"path": path, "text": "bar"})
        messages += made("edit_file", call.arguments, "ok")
    assert ask(model, messages) == "Replaced."


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("multi_edit", {"files": [{"path": "a.py", "text": "bar"}]}),
        (
            "batch",
            {"calls": [{"tool": "edit_file", "arguments": {"path": "a.py", "text": "bar"}}]},
        ),
        ("edit_file", {"text": "bar", "path": "a.py"}),
    ],
)
def test_a_call_within_a_batch_is_done(name: str, arguments: Any) -> None:
    """An item of any multi-call counts as the call that it stands for."""
    messages = [user("Edit a.py"), *read("a.py"), *made(name, arguments, "ok")]
    assert ask(FileReader(replace_all), messages) == "Done."


RUN = tool("run_script", {"code": {"type": "string"}})
CODE = 'print(len(await read_file(path="src/a.py")))'
TESTS = Call("run_tests", {})


def programmer(**more: Any) -> FileReader:
    return FileReader(replace_all, program=lambda _: CODE, afterwards=(TESTS,), **more)


def test_a_program_does_the_job() -> None:
    """Where programs are run it writes one, makes the calls behind it, and says what it printed."""
    model, messages = programmer(), [user(PROMPT)]
    assert ask(model, messages, [*TOOLS, RUN]) == Call("run_script", {"code": CODE})
    messages += made("run_script", {"code": CODE}, "3\n[1 call ran: read_file 1]")
    assert ask(model, messages, [*TOOLS, RUN]) == TESTS
    messages += made("run_tests", {}, "OK", "call_2")
    assert ask(model, messages, [*TOOLS, RUN]) == "3"


def test_a_program_that_printed_nothing() -> None:
    """Then its last words are those that it has otherwise."""
    messages = [user(PROMPT), *made("run_script", {"code": CODE}, "[1 call ran: read_file 1]")]
    model = FileReader(program=lambda _: CODE, final="That is all.")
    assert ask(model, messages, [RUN]) == "That is all."


def test_no_program_where_none_is_run() -> None:
    """Without the tool, without a program, or without the habit it goes on call by call."""
    first = Call("read_file", {"path": "src/a.py"})
    assert ask(programmer(), [user(PROMPT)]) == first
    assert ask(FileReader(replace_all), [user(PROMPT)], [*TOOLS, RUN]) == first
    assert ask(programmer(habit=Habit(script_tool=None)), [user(PROMPT)], [*TOOLS, RUN]) == first


def test_a_note_in_mid_job_is_no_new_job() -> None:
    """A reminder that comes as its own user message does not replace the prompt."""
    messages = [user(PROMPT), *read(PATHS[0]), user(f"{REMINDER} As in src/a.py.")]
    left = [{"path": path} for path in PATHS[1:]]
    assert ask(FileReader(), messages) == Call("multi_read", {"files": left})


def test_a_new_prompt_is_a_new_job() -> None:
    """After the turn has ended, only the files of the new prompt matter."""
    done = {"role": "assistant", "content": "Done."}
    messages = [user("Read old.py"), done, user("Read new.py")]
    assert ask(FileReader(), messages) == Call("read_file", {"path": "new.py"})


def test_quoted_calls_name_no_files() -> None:
    """Paths in an example of a call are not read."""
    example = 'Example: {"files": [{"path": "src/x.py"}, {"path": "y.py"}]}'
    assert ask(FileReader(), [user(f"Read a.py. {example}")]).arguments == {"path": "a.py"}


@pytest.mark.parametrize(
    ("prompt", "paths"),
    [
        ("Fix a.py, b.py.", ["a.py", "b.py"]),
        ("see `./x/y.ts` (or ../z.json)", ["./x/y.ts", "../z.json"]),
        ("/tmp/dir-1/a_b.tar.yaml: wrong", ["/tmp/dir-1/a_b.tar.yaml"]),
        ("e.g. version 1.2 at https://example.com/a.py", []),
        ("a.py twice: a.py", ["a.py"]),
    ],
)
def test_paths_in_prompts(prompt: str, paths: list[str]) -> None:
    """Files are found by their extension; addresses and abbreviations are none."""
    messages: list[Any] = [user(prompt)]
    asked = []
    while not isinstance(call := ask(FileReader(), messages), str):
        asked.append(call.arguments["path"])
        messages += read(asked[-1])
    assert asked == paths


def test_a_model_that_batches_unasked() -> None:
    """Without a reminder it uses the multi-tools on offer, for reads and for the job."""
    model = FileReader(replace_all, habit=Habit(unasked=True))
    assert ask(model, [user(PROMPT)]).name == "multi_read"
    messages: list[Any] = [user(PROMPT)]
    for path in PATHS:
        messages += read(path)
    item = {"path": {"type": "string"}, "text": {"type": "string"}}
    listed = {"type": "array", "items": {"type": "object", "properties": item}}
    edits = tool("multi_edit", {"files": listed})
    assert len(ask(model, messages, [*TOOLS, edits]).arguments["files"]) == 3


def test_a_model_that_never_batches_has_lists_of_one() -> None:
    """Where only multi-tools are on offer, it makes one call at a time with them all the same."""
    model = FileReader(lambda files, _: [Call("read_file", {"path": "d.py"})], habit_turns=0)
    assert ask(model, [user(PROMPT)], [multi()]).arguments == {"files": [{"path": PATHS[0]}]}
    items = [{"path": path} for path in PATHS]
    result = "".join(f"[{n}/3] read_file {path}\nx\n" for n, path in enumerate(PATHS, 1))
    messages = [user(PROMPT), *made("multi_read", {"files": items}, result)]
    wanted = Call("multi_read", {"files": [{"path": "d.py"}]})
    assert ask(model, messages, [multi()]) == wanted


def test_reads_in_a_mixed_batch() -> None:
    """The items of a `batch` count as the calls that they name, each with its own result."""
    calls = [
        {"tool": "search", "arguments": {"pattern": "foo"}},
        {"tool": "read_file", "arguments": {"path": PATHS[0]}},
        {"tool": "read_file", "arguments": {"path": PATHS[1]}},
    ]
    result = (
        f"[1/3] search\n{PATHS[0]}:1: foo\n[2/3] read_file {PATHS[0]}\nA\n"
        f"[3/3] read_file {PATHS[1]}\nB"
    )
    messages = [user(PROMPT), *made("batch", {"calls": calls}, result), *read(PATHS[2], "C")]
    model = FileReader(final=lambda files: repr(files))
    assert ask(model, messages) == repr(dict(zip(PATHS, "ABC", strict=True)))
    found = flat(calls_of(messages))
    assert next(call.result for call in found if call.name == "search") == f"{PATHS[0]}:1: foo"
