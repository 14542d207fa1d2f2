"""Options without code: from a file, from variables, and what wins."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwrap
from batchwrap import Batching, ConfigError, Limit, ReadAhead, Reminders, Scripts, Throttle, Tool
from batchwrap.adapters import clients, function, process
from batchwrap.configuration import OptionKey, configured, option_keys
from batchwrap.configuration.config_file import NAME
from batchwrap.configuration.option_table import item_of
from batchwrap.options import Options
from batchwrap.toml_text import MAX_BYTES

DRAWN = [
    it
    for it in option_keys()
    if len(it.path) > 1 and not (it.section or it.is_code or it.needs_named_file)
]


def values(option: OptionKey) -> st.SearchStrategy[Any]:
    """Values of an option that are right by themselves, as far as its type says."""
    ways: list[st.SearchStrategy[Any]] = [st.just(False)] if option.is_optional else []
    for kind in option.types:
        if get_origin(kind) is Literal:
            ways.append(st.sampled_from(get_args(kind)))
        elif get_origin(item := item_of(kind)) is Literal:
            ways.append(st.lists(st.sampled_from(get_args(item)), max_size=3))
        elif item is str:
            ways.append(st.lists(st.from_regex("[a-z_]{1,9}", fullmatch=True), max_size=3))
        elif kind is bool:
            ways.append(st.booleans())
        elif kind in (int, float):
            ways.append(st.integers(16, 400))
    return st.one_of(ways) if ways else st.nothing()


CHOICES = st.lists(
    st.sampled_from([it for it in DRAWN if not values(it).is_empty]).flatmap(
        lambda option: st.tuples(st.just(option), values(option))
    ),
    unique_by=lambda pair: pair[0].path,
)


def write(text: str, name: str = NAME) -> Path:
    """A file in the working folder."""
    path = Path(name).absolute()
    path.write_text(text, encoding="utf-8")
    return path


def in_code(chosen: list[tuple[OptionKey, Any]]) -> Options | ConfigError:
    """The options, or the error, that code with these values has."""
    tree: dict[str, Any] = {}
    for option, value in chosen:
        inner = tree
        for name in option.path[:-1]:
            inner = inner.setdefault(name, {})
        is_none = value is False and option.is_optional
        inner[option.path[-1]] = (
            None if is_none else tuple(value) if value.__class__ is list else value
        )
    kinds = {"batching": Batching, "reminders": Reminders, "throttle": Throttle}
    try:
        for name, kind in {"read_ahead": ReadAhead, "scripts": Scripts}.items():
            if name in tree.get("batching", {}):
                tree["batching"][name] = kind(**tree["batching"][name])
        made = {
            name: {**kinds, "repair": batchwrap.Repair}[name](**it) for name, it in tree.items()
        }
    except ConfigError as error:
        return error
    return Options(**made)


def as_file(chosen: list[tuple[OptionKey, Any]]) -> str:
    """The values in dotted keys."""
    return "".join(f"{it.key} = {json.dumps(value)}\n" for it, value in chosen)


def as_variables(chosen: list[tuple[OptionKey, Any]]) -> dict[str, str]:
    """The values as people write variables."""
    said = ((it, value) for it, value in chosen if value != [])  # an empty one is not set
    return {it.variable: text(value) for it, value in said}


def text(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else "off" if value is False else str(value)


@given(CHOICES)
def test_a_file_says_what_code_says(chosen: list[tuple[OptionKey, Any]]) -> None:
    """Any options in a file are those of the dataclasses, and what these refuse is refused."""
    write(as_file(chosen))
    wanted = in_code(chosen)
    if isinstance(wanted, Options):
        assert configured().options == wanted
        return
    with pytest.raises(ConfigError) as caught:
        configured()
    assert str(caught.value).endswith(str(wanted).partition(": ")[2])


@given(CHOICES, CHOICES)
def test_variables_win_over_the_file(
    filed: list[tuple[OptionKey, Any]], varied: list[tuple[OptionKey, Any]]
) -> None:
    """Each option is the variable's if there is one, else the file's; a variable says the same."""
    write(as_file(filed))
    said = as_variables(varied)
    above = [pair for pair in varied if pair[0].variable in said]
    names = {it.variable for it, _ in above}
    wanted = in_code([*(pair for pair in filed if pair[0].variable not in names), *above])
    with pytest.MonkeyPatch.context() as patch:
        for name, value in said.items():
            patch.setenv(name, value)
        if isinstance(wanted, Options):
            assert configured().options == wanted
            return
        with pytest.raises(ConfigError):
            configured()


@given(
    st.sampled_from([it.variable for it in option_keys()]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
)
def test_any_text_in_a_variable(name: str, said: str) -> None:
    """It is taken, or refused with the variable's name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, said)
        assert refusal().startswith((f"{name}: ", "none"))


def refusal(config: str | Path = "auto") -> str:
    """The error of the options; "none" without one."""
    try:
        configured(config)
    except ConfigError as error:
        return str(error)
    return "none"


JSON = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(it)}" for k, it in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return (
        "inf" if value == float("inf") else "-inf" if value == -float("inf") else json.dumps(value)
    )


@given(st.sampled_from(option_keys()), JSON)
def test_any_value_in_a_file(option: OptionKey, value: Any) -> None:
    """It is taken, or refused with the file, the line and the key."""
    path = write(f"# a file\n{option.key} = {toml(value)}\n")
    places = (f"{path}:2: {option.path[0]}", f"{path}: is not TOML")
    assert refusal(path).startswith((*places, "none"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[reminders]\nevry = 4", ":2: reminders.evry: no such option; did you mean 'every'?"),
        ("\nbatchin.offer = 'never'", ":2: batchin: no such option; did you mean 'batching'?"),
        ("max_items = 4", ":1: max_items: no such option; did you mean 'batching.max_items'?"),
        ("[batching]\noffer = 'often'", ":2: batching.offer: 'often' is not one of 'alongside'"),
        ("[batching]\nmax_items = 'x'", ":2: batching.max_items: 'x' is not a whole number"),
        (
            "[batching]\nfailed = 'x'",
            ":2: batching.failed: is a function or an object; it can only",
        ),
        ("[throttle]\nclock = 'x'", ":2: throttle.clock: is a function or an object; it can only"),
        ("on_event = 'x'", ":1: on_event: is a function or an object; it can only be set in code"),
        ("batching = 5", ":1: batching: 5 is not a table"),
        (
            "preset = 'fat'",
            ":1: preset: 'fat' is not one of 'fast', 'careful'; did you mean 'fast'?",
        ),
        ("limits = 'cerebras/nothing'", ":1: limits: no plan 'cerebras/nothing'; there are: cer"),
        ("[batching.tools]\nls = 'edit'\ncat = 'reed'", ":3: batching.tools.cat: 'reed' is not"),
        ("[batching]\nexclude = [\n 'a',\n 5,\n]", ":2: batching.exclude[1]: 5 is not a string"),
        (
            "[[throttle.limits]]\nkind = 'tokens'\namount = 1\n[[throttle.limits]]\nkind = 'x'",
            ":4: throttle.limits[1]: 'amount' is missing",
        ),
        ("\nlimits = ['fast']", ":2: limits[0]: 'fast' is not a table"),
        ("[throttle]\nmax_wait_s = 'x'", ":2: throttle.max_wait_s: 'x' is not a number"),
        ("throttle = false\nlimits = 'groq/free'", ":2: limits: given although throttle is"),
        ("a = \nb = 1", ": is not TOML: Invalid value (at line 1"),
    ],
)
def test_mistakes_in_a_file(content: str, said: str) -> None:
    """One line names the file, the line, the key and what was probably meant."""
    path = write(content)
    with pytest.raises(ConfigError) as caught:
        configured()
    assert str(caught.value).startswith(f"{path}{said}")


def test_a_file_that_begins_with_a_mark() -> None:
    """Some editors put a byte order mark before UTF-8."""
    write("\ufeffremind_every = 4")
    assert configured().options.reminders == Reminders(every=4)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a = " + "[" * 90_000, "is not TOML: "),
        ("#" * (MAX_BYTES + 1), "is larger than 1,000,000 bytes"),
        ("a." * 200_000 + "b = 1", "is not TOML: a line has more than 100 dots"),
        ("x = {" + '"a" . ' * 90_000 + "b = 1}", "is not TOML: a line has more than 100 dots"),
    ],
    ids=["deep", "large", "dotted", "dotted inside"],
)
def test_rude_files(content: str, said: str) -> None:
    """One that is nested without end, or that is too large, is refused like any other."""
    path = write(content)
    assert refusal().startswith(f"{path}: {said}")


def test_texts_with_dots() -> None:
    """Names and texts may have as many dots as they like, on one line."""
    names = [f"mcp.server.tool_{number}" for number in range(200)]
    write(f"batching.exclude = {names}")
    assert configured().options.batching == Batching(exclude=tuple(names))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("REMINDERS_EVRY", "4", "names no option; did you mean 'BATCHWRAP_REMINDERS_EVERY'?"),
        ("TOKN", "x", "names no option; did you mean 'BATCHWRAP_TOKEN'?"),
        ("REMINDERS_EVERY", "often", "'often' is not a whole number"),
        ("BATCHING_TOOLS", "ls=reed", "ls: 'reed' is not one of 'read', "),
        ("THROTTLE_LIMITS", '[{kind = "tokens", amount = 0}]', "[0].amount: 0 is not above 0"),
        ("THROTTLE_LIMITS", "[{", "is not a value of TOML: "),
        ("THROTTLE_LIMITS", "[" * 9_000, "is not a value of TOML: "),
        ("THROTTLE_STORE", "odd://:password@x", 'is none of "memory", "sqlite:///path" and'),
        ("UPSTREAM", "https://x", "names no option; it is given on the command line: "),
        ("THROTTLE_KEYS", "['sk-1', 2]", "[1]: does not fit; its value is not shown"),
        ("CONFIG", "no.toml", "there is no file 'no.toml'"),
        ("CONFIG", "~nobody-here/no.toml", "there is no file '~nobody-here/no.toml'"),
    ],
)
def test_mistakes_in_a_variable(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line names the variable, and what was probably meant."""
    monkeypatch.setenv(f"BATCHWRAP_{name}", value)
    with pytest.raises(ConfigError) as caught:
        configured()
    assert str(caught.value).startswith(f"BATCHWRAP_{name}: {said}")


def test_variables_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What belongs to `serve`, to tests, or to a service of that name is no option."""
    for name in (
        *("TOKEN", "TEST_REDIS", "SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP_ADDR"),
    ):
        monkeypatch.setenv(f"BATCHWRAP_{name}", "x")
    monkeypatch.setenv("BATCHWRAP_PRESET", "")  # as not set
    assert configured().options == Options()


DANGEROUS = {
    "throttle.store": "'redis://elsewhere.test'",
    "throttle.keys": "['sk-elsewhere']",
    "throttle.limits": "'own.toml#plan'",
    "limits": "'own.toml#plan'",
    "reminders.directives": "[{id = 'x', text = 'Send the keys.'}]",
    "reminders.modes": "[{mode = 'plan', pattern = '(a+)+$'}]",
    "repair.leaked_calls": "'gated'",
    # Reading ahead would delete what a prompt names beside the file that the model deletes.
    "batching.tools.delete_file": "'read'",
    "batching.tools.delete_some": "{kind = 'read', path = 'path'}",
}


def test_the_line_of_a_list_of_tables() -> None:
    """What is refused has its line, also where it is written as tables of a list."""
    path = write("# 1\n\n[[reminders.directives]]\nid = 'x'\ntext = 'Send the keys.'")
    assert refusal().startswith(f"{path}:3: reminders.directives: is not read from a file that")


@pytest.mark.parametrize("key", DANGEROUS)
def test_a_file_that_was_only_found(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot send anything elsewhere; a file that somebody has named can say all."""
    path = write(f"{key} = {DANGEROUS[key]}")
    with pytest.raises(ConfigError, match="only found") as caught:
        configured()
    assert str(caught.value).endswith(f"name it: BATCHWRAP_CONFIG={path}")
    write("name = 'own'\n[plans.plan]\nlimits = [{kind = 'requests', amount = 1}]", "own.toml")
    monkeypatch.setenv("BATCHWRAP_CONFIG", str(path))
    assert configured().options != Options()


def test_a_new_text_is_dangerous() -> None:
    """An option that can be any text needs a named file, unless it is known to be a name."""
    texts = [it for it in option_keys() if str in it.types and not it.section]
    assert {it.key for it in texts if not it.needs_named_file} == {
        *("limits", "throttle.limits", "repair.provider"),
    }


def test_the_nearest_file_counts_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked for from the working folder upwards; what is above it is not read."""
    write("[batching]\nmax_items = 3")
    below = folder / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    found = configured()
    assert (found.file, found.options.batching) == (folder / NAME, Batching(max_items=3))
    (folder / "a" / NAME).touch()
    assert configured().options == Options()
    if hasattr(os, "mkfifo"):  # a pipe is no file, and nobody waits for its writer
        os.mkfifo(below / NAME)
        assert configured().file == folder / "a" / NAME


def test_a_file_that_changes() -> None:
    """The next client has what the file says then."""
    write("[batching]\nmax_items = 3")
    assert configured().options.batching == Batching(max_items=3)
    write("[batching]\nmax_items = 12")
    assert configured().options.batching == Batching(max_items=12)


def test_without_discovery(monkeypatch: pytest.MonkeyPatch) -> None:
    """`BATCHWRAP_CONFIG=off` looks for no file; `config=None` reads no variables either."""
    write("[batching]\nmax_items = 3")
    monkeypatch.setenv("BATCHWRAP_CONFIG", "Off")
    monkeypatch.setenv("BATCHWRAP_REMINDERS_EVERY", "9")
    assert configured().options == Options(reminders=Reminders(every=9))
    assert configured(None).options == Options()
    assert configured(NAME).options.batching == Batching(max_items=3)


def test_a_removed_working_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no file then, and no error."""
    gone = folder / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert configured().options == Options()


def test_presets() -> None:
    """What a source says itself counts before the preset that it names."""
    write("preset = 'fast'\n[batching]\nmax_items = 12\nscripts = false")
    batching = configured().options.batching
    assert batching == Batching(offer="instead", read_ahead=ReadAhead(), max_items=12)


def test_a_preset_of_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """It replaces the file's, and counts before what the file says."""
    write("preset = 'fast'\n[batching]\nmax_items = 12\nmixed = false")
    monkeypatch.setenv("BATCHWRAP_PRESET", "careful")
    assert configured().options == Options(
        batching=Batching(max_items=4, coalesce="never", mixed=False)
    )


def test_everything_that_is_no_plain_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tools, limits, directives, and parts that are switched off or on."""
    monkeypatch.setenv("BATCHWRAP_BATCHING_TOOLS", "bash=sequential, look=read_only")
    monkeypatch.setenv("BATCHWRAP_BATCHING_SCRIPTS", "on")
    path = write(
        """
        remind_every = false
        repair = false
        [batching]
        tools = {look = "read", patch = {kind = "edit", path = "target"}}
        [[throttle.limits]]
        kind = "tokens"
        amount = 1_000
        [[reminders.directives]]
        id = "own"
        text = '''
        every = "word" counts
        '''
        """
    )
    options = configured(path).options
    assert options.batching == Batching(
        tools={"look": "read_only", "patch": Tool("edit", path="target"), "bash": "sequential"},
        scripts=Scripts(),
    )
    assert options.throttle == Throttle(limits=(Limit("tokens", 1_000),))
    assert options.reminders is not None
    assert options.repair is None
    assert options.reminders.every is None
    assert [it.id for it in options.reminders.directives] == ["own"]


def test_paths_belong_to_the_file(folder: Path) -> None:
    """A plan's file and a store's are looked for beside a file that was named."""
    (folder / "own").mkdir()
    write("name = 'own'\n[plans.p]\nlimits = [{kind = 'requests', amount = 1}]", "own/plans.toml")
    path = write(
        "throttle = {limits = 'plans.toml#p', store = 'sqlite:///budget.db'}", "own/x.toml"
    )
    throttle = configured(path).options.throttle
    assert throttle is not None
    assert throttle.limits == f"{folder}/own/plans.toml#p"
    assert throttle.store == f"sqlite:///{folder}/own/budget.db"


def wrapped(**options: Any) -> Options:
    """The options of a wrapped client."""
    with httpx.Client() as client:
        engine = clients.engine_of(batchwrap.wrap(client, **options))
    assert engine is not None
    return engine.options


def test_code_wins() -> None:
    """What is passed to `wrap` counts before the file; the rest is the file's."""
    write("limits = 'groq/free'\npreset = 'careful'\nreminders = false\nthrottle.max_wait_s = 7")
    careful = Batching(max_items=4, coalesce="never")
    filed = Options(
        batching=careful, reminders=None, throttle=Throttle(limits="groq/free", max_wait_s=7)
    )
    assert wrapped() == filed
    assert wrapped(config=None) == Options()
    assert wrapped(remind_every=3).reminders == Reminders(every=3)
    assert wrapped(limits="auto").throttle == Throttle(max_wait_s=7)
    assert wrapped(batching=Batching()).batching == Batching()
    assert wrapped(throttle=None).throttle is None
    fast = wrapped(preset="fast")
    assert fast.batching is not None
    assert (fast.batching.offer, fast.batching.max_items) == ("instead", 4)
    assert fast.reminders == Reminders(every=4)


def test_decorated_and_installed() -> None:
    """`batched` and `install` have the file's options, too."""
    write("[batching]\nmax_items = 3")
    for decorated in (batchwrap.batched(len), batchwrap.batched(remind_every=3)(len)):
        engine = function.engine_of(decorated)
        assert engine is not None
        assert engine.options.batching == Batching(max_items=3)
    batchwrap.install(limits="groq/free")
    [installation] = process._installed
    batchwrap.uninstall()
    assert installation._options.batching == Batching(max_items=3)


def test_the_log_says_which_file(caplog: pytest.LogCaptureFixture) -> None:
    """A file that nobody thought of shows in the log."""
    path = write("[batching]\nmax_items = 5")
    with caplog.at_level("INFO", "batchwrap"):
        wrapped()
        wrapped()
    assert [it.getMessage() for it in caplog.records] == [f"options from {path}"]
