"""Anthropic's SDK at clouds: batched, but for what is signed for AWS, which is only throttled."""

from __future__ import annotations

import logging
from typing import Any

import anthropic
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import batchwrap
from batchwrap.lab import Lab, Raw, Reply
from batchwrap.lab.journal import Entry
from batchwrap.options import Limit, Throttle
from tests.adapters.batching_models import scripted
from tests.adapters.callers import Caller
from tests.adapters.file_job import MEANT, MESSAGES_TOOLS, TASK, WORK, messages_job
from tests.sdks.streamed import helped

ASK: dict[str, Any] = {"model": "claude", "max_tokens": 50}
KEYS = {"aws_access_key": "AKIDEXAMPLE", "aws_secret_key": "secret"}
AWS: dict[str, Any] = {"aws_region": "eu-west-1"}
VERTEX: dict[str, Any] = {"region": "europe-west1", "project_id": "p", "access_token": "token"}
MODELS = "/v1/projects/p/locations/europe-west1/publishers/anthropic/models"
SEVERAL = pytest.mark.parametrize("streamed", [False, True])


def open_client(caller: Caller, kind: str, **options: Any) -> Any:
    """A bare client of one of the SDK's kinds."""
    made = getattr(anthropic, f"Async{kind}" if caller.is_async else kind)
    return caller.closes(made(**options))


def said_by(caller: Caller, client: Any, *, streamed: bool, **asked: Any) -> Any:
    """The message that a request is answered with, plain or by the streaming helper."""
    asked = {**ASK, **asked}
    if streamed:
        return helped(caller, client, **asked)
    return caller.run(client.messages.create, **asked)


def is_signed_rightly(lab: Lab, entry: Entry, service: str) -> bool:
    """Whether a request's signature is that of what has arrived, as AWS checks it."""
    given = entry.headers["authorization"]
    named = given.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    headers = {name: entry.headers[name] for name in named if name != "x-amz-date"}
    url = f"{lab.url}{entry.path}"
    request = AWSRequest(method="POST", url=url, headers=headers, data=entry.body)
    request.context["timestamp"] = entry.headers["x-amz-date"]
    credentials = Credentials(KEYS["aws_access_key"], KEYS["aws_secret_key"])
    signer = SigV4Auth(credentials, service, AWS["aws_region"])
    request.headers["X-Amz-Date"] = entry.headers["x-amz-date"]
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    return given.endswith(f"Signature={signature}")


@SEVERAL
@pytest.mark.parametrize(
    ("kind", "where", "options"),
    [
        ("AnthropicVertex", "/v1", VERTEX),
        ("AnthropicFoundry", "", {"api_key": "key"}),
        ("AnthropicGoogleCloud", "", {"project": "p", "token_provider": lambda: "token"}),
        ("AnthropicBedrockMantle", "", {**AWS, "api_key": "key"}),
        ("AnthropicAWS", "", {**AWS, "api_key": "key", "workspace_id": "w"}),
    ],
)
def test_batched(
    caller: Caller, serve: Any, kind: str, where: str, options: dict[str, Any], streamed: bool
) -> None:
    """Batches, waves and folds, where a token or a key stands beside the body."""
    lab = serve(scripted(WORK))
    client = batchwrap.wrap(open_client(caller, kind, base_url=lab.url + where, **options))
    done = messages_job(lambda **asked: said_by(caller, client, streamed=streamed, **asked))
    assert (done.ran, done.answers) == (MEANT, 4)
    assert done.last.content[0].text == "done"
    assert [request.status for request in lab.journal] == [200, 200]
    _, turn, _ = lab.journal[1].json["messages"]
    assert [block.get("name") for block in turn["content"]] == [None, "multi_read", "multi_edit"]
    stats = batchwrap.stats(client)
    assert (stats.local_answers, stats.only_throttled, stats.failed_open) == (2, {}, 0)


def test_the_model_of_vertex(caller: Caller, serve: Any) -> None:
    """Its path names the model, so the body does not; limits and estimates know it."""
    lab = serve(lambda request: Reply("yes"))
    bare = open_client(caller, "AnthropicVertex", base_url=f"{lab.url}/v1", **VERTEX)
    client = batchwrap.wrap(bare, limits=[Limit("tokens", 1e6, 60)])
    asked = {"messages": [TASK], "tools": MESSAGES_TOOLS, "model": "claude-sonnet-4@20250514"}
    seen: list[Any] = []
    told = batchwrap.wrap(bare, on_event=seen.append)
    for one in (client, told):
        caller.run(one.messages.create, **{**ASK, **asked})
        assert lab.journal[-1].path == f"{MODELS}/claude-sonnet-4@20250514:rawPredict"
        assert "model" not in lab.journal[-1].json
    assert "claude-sonnet-4@20250514" in {event.data.get("model") for event in seen}


def test_counting_at_vertex(caller: Caller, serve: Any) -> None:
    """`count_tokens` counts what would be sent, multi-tools included."""
    lab = serve(lambda request: Reply("yes"))
    bare = open_client(caller, "AnthropicVertex", base_url=f"{lab.url}/v1", **VERTEX)
    client = batchwrap.wrap(bare)
    asked: dict[str, Any] = {"messages": [TASK], "tools": MESSAGES_TOOLS, "model": "claude"}
    counted = caller.run(client.messages.count_tokens, **asked)
    caller.run(client.messages.create, **{**ASK, **asked})
    count, sent = lab.journal
    assert count.path == f"{MODELS}/count-tokens:rawPredict"
    assert count.json["tools"] == sent.json["tools"] and len(sent.json["tools"]) == 5
    assert counted.input_tokens == sent.prompt_tokens


@SEVERAL
@pytest.mark.parametrize(
    ("kind", "options", "name", "service"),
    [
        ("AnthropicBedrock", KEYS, "bedrock", "bedrock"),
        ("AnthropicBedrock", {"api_key": "key"}, "bedrock", None),
        ("AnthropicBedrockMantle", KEYS, "messages", "bedrock-mantle"),
        ("AnthropicAWS", {**KEYS, "workspace_id": "w"}, "messages", "aws-external-anthropic"),
    ],
)
def test_only_throttled(
    caller: Caller,
    serve: Any,
    caplog: Any,
    kind: str,
    options: dict[str, Any],
    name: str,
    service: str | None,
    streamed: bool,
) -> None:
    """A signature covers the body, and Bedrock's streams are frames: neither is changed at all."""
    lab = serve(lambda request: Reply("one two three"))
    bare = open_client(caller, kind, base_url=lab.url, **AWS, **options)
    client = batchwrap.wrap(bare, limits=[Limit("tokens", 1e6, 60)])
    with caplog.at_level(logging.WARNING, "batchwrap"):
        for one in (bare, client, client):
            asked = {"messages": [TASK], "tools": MESSAGES_TOOLS}
            answer = said_by(caller, one, streamed=streamed, **asked)
            assert answer.content[0].text == "one two three"
    assert ["are inactive" in record.getMessage() for record in caplog.records] == [True]
    first, *wrapped = lab.journal
    assert [request.body for request in wrapped] == [first.body] * 2
    if service is not None:
        assert all(is_signed_rightly(lab, request, service) for request in lab.journal)
    stats = batchwrap.stats(client)
    assert (stats.only_throttled, stats.passed_through) == ({name: 2}, 0)
    if not (streamed and kind == "AnthropicBedrock"):  # what is in frames is not read
        assert stats.completion_tokens == 2 * first.completion_tokens


def test_signatures_share_an_account(caller: Caller, serve: Any) -> None:
    """Each request has a signature of its own, and all draw on the limits of one access key."""
    lab = serve(lambda request: Reply("yes"))
    bare = open_client(caller, "AnthropicBedrock", base_url=lab.url, **AWS, **KEYS)
    throttle = Throttle(limits=[Limit("requests", 1, 1_000)], max_wait_s=0)
    client = batchwrap.wrap(bare, throttle=throttle)
    caller.run(client.messages.create, **ASK, messages=[TASK])
    with pytest.raises(anthropic.RateLimitError, match="above max_wait_s"):
        caller.run(client.messages.create, **ASK, messages=[TASK])
    assert len(lab.journal) == 1


def test_refused(caller: Caller, serve: Any) -> None:
    """A signed request that is refused goes out again with the signature that it has."""
    refused = Raw(429, {"retry-after": "0", "content-type": "application/json"}, (b"{}",))
    said = [refused, Reply("yes")]
    lab = serve(lambda request: said.pop(0))
    client = batchwrap.wrap(
        open_client(caller, "AnthropicBedrock", base_url=lab.url, **AWS, **KEYS)
    )
    answer = caller.run(client.messages.create, **ASK, messages=[TASK])
    assert answer.content[0].text == "yes"
    assert len(lab.journal) == 2
    assert all(is_signed_rightly(lab, request, "bedrock") for request in lab.journal)
