"""What is known of providers: dated data, never code."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.limits.cost import Rule
from batchwrap.core.limits.headers import HeaderRules
from batchwrap.core.limits.matchers import Matcher
from batchwrap.core.limits.signals import LimitSignals
from batchwrap.core.provider import UNKNOWN, RequestRules
from batchwrap.errors import ConfigError
from batchwrap.options import Limit
from batchwrap.providers import (
    Source,
    plan,
    plan_names,
    provider_file,
    provider_files,
    provider_of,
    split_plan_name,
)
from batchwrap.providers.file_format import Plan, parse
from tests.providers.cases import CASES, Case

DAY_S = 86_400
PROVIDERS = {case.name for case in CASES}
OWN = """
name = "own"
hosts = ["LLM.example"]
prefixes = ["mine"]
caches_prompts = true
context_tokens = 1_000
usage_in_streams = true

[counting]
reserves_output = false
default_output = 7
counts_cached = false
refunds = false

[headers]
source = "https://own.example/limits"
date = 2026-01-03
requests_per_s = 60
reset_means = "window"

[[refusals]]
kind = "final"
reason = "plan"
status = [429, 403]
code = "77"
waits = "untrue"

[clock]
utc_offset_s = -18_000

[requests]
developer = false
refused = ["store"]

[telemetry]
provider_name = "own.ai"

[plans.team]
source = "the contract"
date = 2026-01-02
note = "till summer"
scope = "account"
models = ["big-*"]
caches_prompts = false
limits = [
    { kind = "requests", amount = 2, per_s = 0.5, mode = "fixed", burst = 1, zone = "Asia/Tokyo" },
    { kind = "concurrency", amount = 4 },
]
"""


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        (
            "cerebras/code-pro",
            [
                Limit("requests", 5, 1),
                Limit("requests", 50, 60),
                Limit("tokens", 1_000_000, 60),
                Limit("tokens", 24_000_000, DAY_S),
            ],
        ),
        (
            "cerebras/code-max",
            [
                Limit("requests", 12, 1),
                Limit("requests", 120, 60),
                Limit("tokens", 1_500_000, 60),
                Limit("tokens", 120_000_000, DAY_S),
            ],
        ),
        (
            "cerebras/code-max-2025-09",
            [Limit("tokens", 400_000, 60), Limit("tokens", 120_000_000, DAY_S)],
        ),
        (
            "cerebras/payg-gpt-oss-120b",
            [
                Limit("requests", 1_000, 60),
                Limit("uncached_tokens", 1_000_000, 60),
                Limit("tokens", 3_000_000, 60),
            ],
        ),
        ("gemini/free-flash", [Limit("requests", 20, DAY_S, "fixed", zone="America/Los_Angeles")]),
        (
            "openrouter/free",
            [Limit("requests", 20, 60, "rolling"), Limit("requests", 50, DAY_S, "fixed")],
        ),
        ("deepseek/v4-pro", [Limit("concurrency", 500)]),
    ],
)
def test_the_limits_of_a_plan(name: str, limits: list[Limit]) -> None:
    """A plan's limits are those of its data file."""
    assert plan(name).limits == tuple(limits)
    assert plan(name).name == name


def test_how_providers_count() -> None:
    """The facts of a provider come with each of its plans."""
    assert plan("cerebras/code-pro").provider.rule == Rule(default_output=16_384)
    assert plan("azure/gpt-4o-default").provider.rule == Rule(refunds=False)
    assert plan("anthropic/start").provider.rule == Rule(reserves_output=False, counts_cached=False)
    assert plan("moonshot/tier-0").scope == "account"
    assert plan("groq/free").scope == "model"


def test_a_plan_may_differ_from_its_provider() -> None:
    """Code plans gain nothing by the cache, pay-as-you-go ones do; the rest stays the same."""
    code, payg = plan("cerebras/code-max").provider, plan("cerebras/payg-gpt-oss-120b").provider
    assert (code.caches_prompts, payg.caches_prompts) == (False, True)
    assert (code.context_tokens, payg.context_tokens) == (131_072, None)
    assert code.rule == payg.rule == provider_of("api.cerebras.ai").rule


def test_all_providers_are_there() -> None:
    """Each provider has a file of its own, named as the provider is."""
    files = resources.files("batchwrap.providers").iterdir()
    stems = {file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")}
    assert stems == {file.provider.name for file in provider_files()} == PROVIDERS


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_file_is_whole(case: Case) -> None:
    """Facts and amounts have a source, a date and a note; a hosted API has hosts."""
    name, it = case.name, provider_file(case.name)
    assert it.source and it.date and it.note
    assert (bool(it.hosts), bool(it.prefixes)) == (bool(case.host), bool(case.model))
    for stated in it.sources.values():
        assert stated.source and stated.date
    for short, found in it.plans.items():
        assert found.name == f"{name}/{short}"
        assert found.source and found.date
        assert found.limits
        assert len({(limit.kind, limit.per_s) for limit in found.limits}) == len(found.limits)


def test_nothing_is_claimed_twice() -> None:
    """A host and a model's prefix belong to one provider."""
    claims = [claim for file in provider_files() for claim in (*file.hosts, *file.prefixes)]
    assert len(claims) == len(set(claims))


@pytest.mark.parametrize("name", ["cerebras", "cerebras/none", "nobody/plan", "", "/", "#", "a#b"])
def test_an_unknown_name(name: str) -> None:
    """An unknown name is refused with those of its provider, or with the command that has all."""
    with pytest.raises(ConfigError) as caught:
        plan(name)
    assert caught.value.option == "limits"
    if name.startswith("cerebras"):
        of_provider = [it for it in plan_names() if it.startswith("cerebras/")]
        assert all(known in str(caught.value) for known in of_provider)
    else:
        assert f"batchwrap limits shows all {len(plan_names())}" in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("cerebras/code-mux", "cerebras/code-max"),
        ("cerebas/code-max", "cerebras/code-max"),
        ("Cerebras/Code-Max", "cerebras/code-max"),
        ("grok/free", "groq/free"),
    ],
)
def test_what_was_meant(name: str, meant: str) -> None:
    """Who mistypes a plan is asked whether he meant the most similar one."""
    with pytest.raises(ConfigError, match=f"; did you mean '{re.escape(meant)}'\\?$"):
        plan(name)


def test_which_provider_was_meant() -> None:
    """Who mistypes a provider is asked, too."""
    with pytest.raises(ConfigError, match=r"there are: .*; did you mean 'mistral'\?$"):
        provider_file("mistal")


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("api.cerebras.ai", "cerebras"),
        ("API.Cerebras.AI:443", "cerebras"),
        ("api.cerebras.ai.", "cerebras"),
        ("eu.api.openai.com", "openai"),
        ("mine.openai.azure.com", "azure"),
        ("ws1.ap-southeast-1.maas.aliyuncs.com", "qwen"),
        ("notapi.cerebras.ai", ""),
        ("api.cerebras.ai.evil.example", ""),
        ("notopenrouter.ai", ""),
        ("cerebras.ai", ""),
        ("localhost:8000", ""),
        ("[::1]:8000", ""),
        ("", ""),
        ("..", ""),
    ],
)
def test_the_provider_of_a_host(host: str, name: str) -> None:
    """A host is known by its own name or as a subdomain, and never by a part of a label."""
    assert provider_of(host).name == name


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("cerebras/qwen-3-coder-480b", "cerebras"),
        ("together_ai/deepseek-ai/DeepSeek-V3", "together"),
        ("openrouter/openai/gpt-5", "openrouter"),
        ("hosted_vllm/x", "vllm"),
        ("gpt-5", ""),
        ("cerebras", ""),
        ("/x", ""),
        ("", ""),
        (None, ""),
        (["cerebras/x"], ""),
    ],
)
def test_the_provider_of_a_model(model: object, name: str) -> None:
    """A model is known by the first part of its name, whatever stands there."""
    assert provider_of(model=model).name == name


def test_a_known_host_counts_before_the_model() -> None:
    """`openai/…` is also the name of models that others run."""
    assert provider_of("openrouter.ai", "openai/gpt-5").name == "openrouter"
    assert provider_of("llm.example", "openai/gpt-oss-120b") is UNKNOWN


@pytest.mark.parametrize(
    ("name", "model", "covered"),
    [
        ("cerebras/code-max", "anything", True),
        ("cerebras/code-max", None, True),
        ("cerebras/payg-gpt-oss-120b", "gpt-oss-120b", True),
        ("cerebras/payg-gpt-oss-120b", "cerebras/GPT-OSS-120b", True),
        ("cerebras/payg-gpt-oss-120b", "qwen-3.8-27b", False),
        ("cerebras/payg-gpt-oss-120b", None, False),
        ("openrouter/free", "z-ai/glm-5:free", True),
        ("openrouter/free", "z-ai/glm-5", False),
        ("gemini/free-flash", "gemini-3.5-flash", True),
        ("gemini/free-flash", "gemini-3.5-flash-preview-09", True),
        ("gemini/free-flash", "models/gemini-flash-latest", True),
        ("gemini/free-flash", "gemini-2.5-flash-lite", False),
        ("gemini/free-flash", "gemini-flash-lite-latest", False),
        ("gemini/free-flash-lite", "gemini-flash-lite-latest", True),
        ("openai/tier-1-gpt-5-2025-08", "gpt-5-2025-08-07", True),
        ("openai/tier-1-gpt-5-2025-08", "gpt-5-mini", False),
        ("sambanova/developer-deepseek-r1-2025", "DeepSeek-R1-Distill-Llama-70B", False),
        ("anthropic/start", "claude-opus-5-5-20260901", True),
        ("anthropic/start", "claude-fable-5", False),
    ],
)
def test_the_models_of_a_plan(name: str, model: object, covered: bool) -> None:
    """Limits are for the models that the plan names, with or without their provider."""
    assert plan(name).covers(model) is covered


@given(st.text() | st.none() | st.integers())
def test_odd_models_are_no_error(model: object) -> None:
    """Whatever a request has for a model, the question gets an answer."""
    assert Plan(models=("nothing-like-it",)).covers(model) is False
    assert provider_of(model=model).name in {"", *PROVIDERS}


@given(st.text())
def test_odd_hosts_and_names_are_no_crash(text: str) -> None:
    """A host that nobody knows is unknown, a name that nobody knows is refused by name."""
    assert provider_of(text).name in {"", *PROVIDERS}
    if text not in plan_names() and ".toml" not in text:
        with pytest.raises(ConfigError):
            plan(text)
    assert "".join(split_plan_name(text)).replace("/", "") in text.replace("/", "")


def test_an_own_file(tmp_path: Path) -> None:
    """A file of the user's own has the same format, and is named by its path."""
    file = tmp_path / "own.toml"
    file.write_text(OWN)
    found = plan(f"{file}#team")
    assert found.name == f"{file}#team"
    assert found.limits == (
        Limit("requests", 2, 0.5, "fixed", burst=1, zone="Asia/Tokyo"),
        Limit("concurrency", 4),
    )
    assert (found.scope, found.models, found.source) == ("account", ("big-*",), "the contract")
    assert (str(found.date), found.note) == ("2026-01-02", "till summer")
    provider = found.provider
    assert provider.rule == Rule(False, 7, False, False)
    assert (provider.name, provider.context_tokens) == ("own", 1_000)
    assert provider.signals == LimitSignals(
        headers=HeaderRules(requests_per_s=60, reset_means="window"),
        refusals=(
            Matcher(kind="final", reason="plan", status=(429, 403), code="77", waits="untrue"),
        ),
        utc_offset_s=-18_000,
    )
    assert provider.requests == RequestRules(developer=False, refused=frozenset({"store"}))
    assert provider.telemetry_name == "own.ai"
    assert provider_file(str(file)).sources == {
        "headers": Source(source="https://own.example/limits", date=dt.date(2026, 1, 3))
    }
    assert (provider.caches_prompts, provider.usage_in_streams) == (False, True)
    assert (provider_file(str(file)).hosts, provider_file(str(file)).prefixes) == (
        ("llm.example",),
        ("mine",),
    )


def test_an_own_file_for_a_known_provider(tmp_path: Path) -> None:
    """It goes on from the facts that are known of the provider, and may change them."""
    file = tmp_path / "contract.toml"
    file.write_text(
        'name = "cerebras"\n[counting]\ndefault_output = 5\n'
        '[plans.ours]\nlimits = [{ kind = "tokens", amount = 9 }]'
    )
    provider = plan(f"{file}#ours").provider
    assert (provider.rule, provider.usage_in_streams) == (Rule(default_output=5), True)
    assert provider_of("api.cerebras.ai").rule == Rule(default_output=16_384)


def test_an_own_file_is_read_anew(tmp_path: Path) -> None:
    """What the user changes in his file counts the next time."""
    file = tmp_path / "own.toml"
    for amount in (1, 2):
        file.write_text(f'[plans.a]\nlimits = [{{ kind = "tokens", amount = {amount} }}]')
        assert plan(f"{file}#a").limits == (Limit("tokens", amount),)


def test_an_own_file_that_is_not_right(tmp_path: Path) -> None:
    """A file that is missing or unreadable, and a plan that it has not, are named."""
    file = tmp_path / "own.toml"
    with pytest.raises(ConfigError, match=r"own\.toml cannot be read"):
        plan(f"{file}#team")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"own\.toml cannot be read"):
        plan(f"{file}#team")
    file.write_text(OWN)
    for name in (f"{file}#none", f"{file}"):
        with pytest.raises(ConfigError, match=r"there are: .*own\.toml#team$"):
            plan(name)
    file.write_text("")
    with pytest.raises(ConfigError, match=r"there are: none$"):
        plan(f"{file}#team")


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("[counting]", "[counting", "own.toml is no TOML: "),
        ("= 1_000", f"= {'9' * 5_000}", "own.toml is no TOML: Exceeds the limit"),
        ("= 1_000", f"= {'[' * 90_000}", "own.toml is no TOML: it is nested too deeply"),
        (
            "[counting]",
            f"{'a.' * 200_000}b = 1\n[counting]",
            "own.toml is no TOML: a line has more",
        ),
        ('name = "own"', 'nam = "own"', "own.toml: nam: no such field; there are: caches_prompts"),
        ('name = "own"', "name = 5", "own.toml: name: 5 is not a string"),
        ('hosts = ["LLM.example"]', 'hosts = "x"', "own.toml: hosts: 'x' is not a list"),
        ('hosts = ["LLM.example"]', "hosts = [5]", "own.toml: hosts: 5 is not a string"),
        ('prefixes = ["mine"]', 'prefixes = [""]', "own.toml: prefixes: '' is an empty string"),
        ("= 1_000", "= true", "own.toml: context_tokens: True is not a whole number"),
        ("= 1_000", "= -1", "own.toml: context_tokens: -1 is below 0"),
        ("usage_in_streams = true", "usage_in_streams = 1", "usage_in_streams: 1 is not true or"),
        ("[counting]", "[plan]", "own.toml: plan: no such field"),
        ("[counting]\n", "counting = 3\n[plans.x]\n", "own.toml: counting: 3 is not a table"),
        ("refunds", "refund", "own.toml: counting.refund: no such field"),
        ("default_output = 7", "default_output = 7.5", "counting.default_output: 7.5 is not a wh"),
        ("[plans.team]", "[plans]\nteam = 3\n[plans.x]", "own.toml: plans.team: 3 is not a table"),
        ("note =", "notes =", "own.toml: plans.team.notes: no such field"),
        ("2026-01-02", "2026-01-02T00:00:00", "own.toml: plans.team.date: datetime.datetime"),
        ("2026-01-02", '"2026-01-02"', "own.toml: plans.team.date: '2026-01-02' is not a date"),
        ('"account"', '"key"', "plans.team.scope: 'key' is not one of 'model', 'account'"),
        ('["big-*"]', "[[]]", "own.toml: plans.team.models: [] is not a string"),
        ('kind = "concurrency", ', "", "own.toml: plans.team.limits[1].kind: is missing"),
        (", amount = 4", "", "own.toml: plans.team.limits[1].amount: is missing"),
        ("per_s = 0.5", 'per_s = "1"', "plans.team.limits[0].per_s: '1' is not a number"),
        ("per_s = 0.5", "per = 1", "own.toml: plans.team.limits[0].per: no such field"),
        ("per_s = 0.5", "per_s = 0", "plans.team.limits[0]: Limit.per_s: 0 is not at least 0.001"),
        ("concurrency", "conc", "plans.team.limits[1].kind: 'conc' is not one of"),
        ("Asia/Tokyo", "Asia/None", "plans.team.limits[0]: Limit.zone: 'Asia/None'"),
        ('{ kind = "concurrency", amount = 4 }', "5", "plans.team.limits[1]: 5 is not a table"),
        ("requests_per_s = 60", "requests_per_s = 0", "headers: HeaderRules.requests_per_s: 0 is"),
        ("requests_per_s = 60", 'requests_per_s = "m"', "headers.requests_per_s: 'm' is not a nu"),
        ("reset_means", "reset", "own.toml: headers.reset: no such field; there are: bare_counts"),
        ('"window"', '"end"', "headers.reset_means: 'end' is not one of 'full', 'window'"),
        ("[[refusals]]", "[refusals]", "own.toml: refusals: {"),
        ('kind = "final"\n', "", "own.toml: refusals[0].kind: is missing"),
        ('kind = "final"', 'kind = "fatal"', "refusals[0].kind: 'fatal' is not one of 'bucket',"),
        ('status = [429, 403]\ncode = "77"\n', "", "refusals[0]: has neither a status nor a code"),
        ("[429, 403]", '["429"]', "own.toml: refusals[0].status: '429' is not a whole number"),
        ('"77"', '"("', "own.toml: refusals[0]: Matcher.code: '(': "),
        ('[429, 403]\ncode = "77"\n', "[]\n", "refusals[0]: has neither a status nor a code"),
        ("-18_000", "inf", "own.toml: clock.utc_offset_s: inf is not finite"),
        ("-18_000", '"EST"', "own.toml: clock.utc_offset_s: 'EST' is not a number"),
        ("developer = false", "developers = false", "requests.developers: no such field; there"),
        ('["store"]', '"store"', "own.toml: requests.refused: 'store' is not a list"),
        ('"own.ai"', "1", "own.toml: telemetry.provider_name: 1 is not a string"),
        ("[plans.team]", "[plans.empty]\n[plans.team]", "plans.empty.limits: a plan has at least"),
        ("[plans.team]", "[plans.empty]\nlimits = []\n[plans.team]", "plans.empty.limits: a plan"),
    ],
)
def test_mistakes_in_a_file_name_the_field(was: str, now: str, said: str) -> None:
    """An unknown field, a wrong type or a wrong value is refused with the file and the field."""
    assert OWN.count(was) >= 1
    with pytest.raises(ConfigError) as caught:
        parse(OWN.replace(was, now, 1), "own.toml", prefix="own.toml#")
    assert str(caught.value).startswith("limits: own.toml")
    assert said in str(caught.value)


def test_every_fact_can_stand_in_a_file() -> None:
    """The example in here has each field of a rule and a limit, so no field is forgotten."""
    for option in (*fields(Rule), *fields(Limit)):
        assert f"{option.name} = " in OWN


_VALUES: Any = st.recursive(
    st.booleans() | st.integers() | st.text("ab", max_size=3) | st.just(1.5),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=4,
)


@given(
    st.sampled_from(
        [
            *("name", "hosts", "prefixes", "note", "counting", "plans", "date", "x"),
            *("headers", "refusals", "clock", "requests", "telemetry"),
        ]
    ),
    _VALUES,
)
def test_odd_files_are_refused_by_name(field: str, value: Any) -> None:
    """Whatever stands in a field, it is taken or refused with a `ConfigError`."""
    text = repr(value).replace("True", "true").replace("False", "false")
    refusal = _refusal(f"{field} = {text}")
    if refusal is None:
        assert field in ("name", "hosts", "prefixes", "note") or (field, value) == ("refusals", [])
    else:
        assert refusal.startswith(f"limits: own.toml: {field}")


def _refusal(text: str) -> str | None:
    try:
        parse(text, "own.toml", prefix="")
    except ConfigError as error:
        return str(error)
    return None
