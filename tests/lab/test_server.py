"""The server itself: connections, keys, time, oddities, and its journal."""

from __future__ import annotations

import gzip
import http.client
import math
import subprocess
import sys
import threading
import time
import zlib
from typing import Any

import openai
import orjson
import pytest

from batchwrap.errors import ConfigError
from batchwrap.lab import Call, Lab, RateLimit, Raw, Reply, Script
from batchwrap.testing import ManualClock

QUESTION: Any = [{"role": "user", "content": "What is the answer?"}]
LONG = "one two three four five six seven eight nine ten " * 100


def yes(request: dict[str, Any]) -> Reply:
    return Reply("yes")


def test_connections_are_kept_and_counted(open_lab: Any, open_wire: Any) -> None:
    """Requests over one connection open one; each further connection is counted."""
    lab = open_lab(yes)
    wire = open_wire(lab)
    for stream in (False, True, False):
        wire.post("/v1/chat/completions", {"messages": QUESTION, "stream": stream}).read()
    assert lab.connections == 1
    open_wire(lab).chat()
    assert lab.connections == 2


def test_without_delays_nothing_sleeps(open_lab: Any, open_wire: Any) -> None:
    """Hundreds of requests wait for nothing: the lab's clock, which every wait moves, stands."""
    clock = ManualClock()
    lab = open_lab(yes, clock=clock)
    wire = open_wire(lab)
    for _ in range(300):
        wire.chat()
    assert lab.round_trips == 300
    assert clock.passed_s == 0


def test_keys(open_lab: Any, open_client: Any, open_wire: Any) -> None:
    """With keys given any other is refused with 401, and each key has its own budget."""
    lab = open_lab(yes, api_keys=["one", "two"], limits=[RateLimit("requests", 1, 60)])
    for key in ("one", "two"):
        open_client(lab, api_key=key).chat.completions.create(model="m", messages=QUESTION)
    with pytest.raises(openai.RateLimitError):
        open_client(lab, api_key="one", max_retries=0).chat.completions.create(
            model="m", messages=QUESTION
        )
    with pytest.raises(openai.AuthenticationError):
        open_client(lab, api_key="three").chat.completions.create(model="m", messages=QUESTION)
    assert open_wire(lab).chat()[0] == 401


def test_models_and_unknown_paths(open_lab: Any, open_client: Any, open_wire: Any) -> None:
    """There is a model to list, and any other path is a 404."""
    lab = open_lab(yes)
    assert [model.id for model in open_client(lab).models.list()] == ["lab-model"]
    assert open_wire(lab).post("/v1/none", {}).status == 404
    assert [entry.status for entry in lab.journal] == [200, 404]


def test_embeddings(open_lab: Any, open_client: Any) -> None:
    """Embeddings are unit vectors that depend on the input alone."""
    client = open_client(open_lab(yes))

    def embed(value: Any, **options: Any) -> list[list[float]]:
        answer = client.embeddings.create(model="m", input=value, **options)
        return [item.embedding for item in answer.data]

    (one,) = embed("one")
    again, two = embed(["one", "two"], encoding_format="float")
    assert one == pytest.approx(again, abs=1e-6)
    assert one != pytest.approx(two, abs=1e-3)
    assert math.hypot(*two) == pytest.approx(1)
    assert len(embed([1, 2, 3], dimensions=5)[0]) == 5
    with pytest.raises(openai.BadRequestError, match="input"):
        embed([])


def test_echo(open_lab: Any, open_wire: Any) -> None:
    """Headers and body come back to the byte, whatever they are."""
    wire = open_wire(open_lab(yes, gzip=True))
    body = bytes(range(256))
    response = wire.post(
        "/v1/echo", body, {"X-Odd": "a  b;c", "Content-Type": "x/y", "Accept-Encoding": "gzip"}
    )
    assert response.read() == body
    assert response.getheader("x-echo-x-odd") == "a  b;c"
    assert response.getheader("content-type") == "x/y"


@pytest.mark.parametrize("stream", [False, True])
def test_gzip(open_lab: Any, open_client: Any, open_wire: Any, stream: bool) -> None:
    """Responses are compressed for clients that accept it, and for no others."""
    lab = open_lab(lambda request: Reply(LONG), gzip=True)
    body = {"messages": QUESTION, "stream": stream}
    wire = open_wire(lab)
    plain = wire.post("/v1/chat/completions", body)
    assert plain.getheader("content-encoding") is None
    text = plain.read()
    packed = wire.post("/v1/chat/completions", body, {"accept-encoding": "br, gzip"})
    assert packed.getheader("content-encoding") == "gzip"
    unpacked = gzip.decompress(packed.read())
    assert LONG[:10] in text.decode() if not stream else unpacked.endswith(b"[DONE]\n\n")
    answer = open_client(lab).chat.completions.create(model="m", messages=QUESTION)
    assert answer.choices[0].message.content == LONG


def test_compressed_streams_arrive_event_by_event(open_lab: Any, open_wire: Any) -> None:
    """Compression holds no event back: the first is readable while the rest is generated."""
    lab = open_lab(lambda request: Reply(LONG), gzip=True, tokens_per_s=200)
    response = open_wire(lab).post(
        "/v1/chat/completions",
        {"messages": QUESTION, "stream": True},
        {"accept-encoding": "gzip"},
    )
    unpacker = zlib.decompressobj(wbits=31)
    text = b""
    while b"one" not in text:
        text += unpacker.decompress(response.read1())
    assert lab.journal == []


def test_raw_bytes(open_lab: Any, open_wire: Any) -> None:
    """A raw reply is sent to the byte, with its own headers and no others."""
    raw = Raw(status=418, headers={"X-Tea": "green"}, chunks=(b"\x00\xff", b"data: {"))
    lab = open_lab(Script(raw, Reply("yes")))
    wire = open_wire(lab)
    response = wire.post("/v1/chat/completions", {"messages": QUESTION})
    assert (response.status, response.read()) == (418, b"\x00\xffdata: {")
    assert response.getheaders() == [("X-Tea", "green"), ("Transfer-Encoding", "chunked")]
    assert wire.chat()[0] == 200  # over the same connection
    assert lab.connections == 1


@pytest.mark.parametrize("headers", [{}, {"content-length": "1000"}])
def test_raw_that_breaks_off(open_lab: Any, open_wire: Any, headers: dict[str, str]) -> None:
    """After an abrupt end the client has the bytes, and an error in place of the rest."""
    raw = Raw(headers=headers, chunks=(b"data: {}\n\n", b"data: {"), close="abrupt")
    lab = open_lab(Script(raw))
    response = open_wire(lab).post("/v1/chat/completions", {"messages": QUESTION})
    with pytest.raises(http.client.IncompleteRead) as caught:
        response.read()
    assert caught.value.partial == b"data: {}\n\ndata: {"
    (entry,) = lab.journal
    assert (entry.status, entry.cancelled) == (200, False)


def test_raw_stream_without_an_end_breaks_the_sdk(open_lab: Any, open_client: Any) -> None:
    """The SDK sees a connection that is cut in mid-stream."""
    raw = Raw(
        headers={"content-type": "text/event-stream"},
        chunks=(b'data: {"choices": []}\n\n',),
        close="abrupt",
    )
    client = open_client(open_lab(Script(raw)))
    stream = client.chat.completions.create(model="m", messages=QUESTION, stream=True)
    with pytest.raises(Exception, match=r"incomplete|peer closed|Connection error"):
        list(stream)


def test_pace(open_lab: Any, open_wire: Any) -> None:
    """The first token comes after the set time and the rest at the set speed."""
    lab = open_lab(lambda request: Reply(LONG), ttft_s=3, tokens_per_s=200, clock=ManualClock())
    wire = open_wire(lab)
    for stream in (True, False):
        wire.post("/v1/chat/completions", {"messages": QUESTION, "stream": stream}).read()
    for entry in lab.journal:
        wanted_s = 3 + entry.completion_tokens / 200
        assert entry.ended_s - entry.started_s == pytest.approx(wanted_s, abs=0.01)


def test_time_scale(open_lab: Any, open_wire: Any) -> None:
    """60 provider seconds are one of wall time, however long a request takes."""
    lab = open_lab(lambda request: Reply("yes"), ttft_s=3, time_scale=60)
    outer_s, begun_s, inner_s = time.monotonic(), lab.now(), time.monotonic()
    open_wire(lab).chat()
    least_s, passed_s = time.monotonic() - inner_s, lab.now() - begun_s
    most_s = time.monotonic() - outer_s
    assert 60 * least_s <= passed_s <= 60 * most_s
    (entry,) = lab.journal
    assert 3 <= entry.ended_s - entry.started_s <= passed_s


def test_streams_are_paced_chunk_by_chunk(open_lab: Any, open_client: Any) -> None:
    """Chunks come while the rest is still being generated."""
    has_read, waits = threading.Event(), list[bool]()

    class Clock(ManualClock):
        """Generation goes on behind the third wait when the client has read something."""

        def sleep(self, seconds: float) -> None:
            waits.append(len(waits) < 3 or has_read.wait(60))
            super().sleep(seconds)

    lab = open_lab(lambda request: Reply(LONG), tokens_per_s=10_000, clock=Clock())
    stream = open_client(lab).chat.completions.create(model="m", messages=QUESTION, stream=True)
    next(stream)
    has_read.set()
    list(stream)
    assert len(waits) > 3 and all(waits)


def test_client_that_leaves_in_mid_stream(open_lab: Any, open_client: Any) -> None:
    """Generation stops, what was generated is settled, and the journal says cancelled."""
    lab = open_lab(
        lambda request: Reply(LONG),
        tokens_per_s=200,
        limits=[RateLimit("tokens", 5000, 1e9)],
        default_output=4000,
    )
    client = open_client(lab)
    with client.chat.completions.create(model="m", messages=QUESTION, stream=True) as stream:
        for chunk in stream:
            if chunk.choices[0].delta.content:
                break
    lab.wait_idle()
    (entry,) = lab.journal
    assert (entry.status, entry.cancelled, entry.stream) == (200, True, True)
    assert 0 < entry.completion_tokens < 1000
    answer = client.chat.completions.with_raw_response.create(
        model="m", messages=QUESTION, max_tokens=1
    )
    left = int(answer.headers["x-ratelimit-remaining-tokens-1e+09s"])
    assert left == 5000 - 11 - entry.completion_tokens - 11 - 1


def test_client_that_leaves_an_endless_stream(open_lab: Any, open_wire: Any) -> None:
    """Even a stream without delays ends when its client is gone."""
    lab = open_lab(lambda request: Reply(LONG * 20), chunk_tokens=1)
    wire = open_wire(lab)
    wire.post("/v1/chat/completions", {"messages": QUESTION, "stream": True}).close()
    wire.close()
    lab.wait_idle()
    assert lab.journal[0].cancelled


def test_client_that_leaves_before_the_response(open_lab: Any, open_client: Any) -> None:
    """A client that gives up waiting is noticed, too; its status is 499."""
    lab = open_lab(lambda request: Reply(LONG), tokens_per_s=20)
    client = open_client(lab, timeout=0.3, max_retries=0)
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model="m", messages=QUESTION)
    lab.wait_idle()
    (entry,) = lab.journal
    assert (entry.status, entry.cancelled) == (499, True)
    assert 0 < entry.completion_tokens < 200
    assert lab.round_trips == 0


def test_client_that_leaves_while_the_model_thinks(open_lab: Any, open_client: Any) -> None:
    """A model that blocks holds up neither the server nor other requests."""
    release = threading.Event()

    def model(request: dict[str, Any]) -> Reply:
        if request["model"] == "slow":
            release.wait(10)
        return Reply("yes")

    lab = open_lab(model)
    client = open_client(lab, max_retries=0)
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model="slow", messages=QUESTION, timeout=0.2)
    lab.wait_idle()
    client.chat.completions.create(model="fast", messages=QUESTION)
    release.set()
    assert [entry.status for entry in lab.journal] == [499, 200]


def test_wait_idle_says_when_it_is_not(open_lab: Any, open_wire: Any) -> None:
    """While a request runs, waiting for the end of all runs into its timeout."""
    lab = open_lab(lambda request: Reply(LONG), tokens_per_s=100)
    response = open_wire(lab).post("/v1/chat/completions", {"messages": QUESTION, "stream": True})
    response.read(10)
    with pytest.raises(TimeoutError, match="1 requests"):
        lab.wait_idle(0.05)


def test_journal(open_lab: Any, open_client: Any) -> None:
    """An entry has what was sent and what it cost, and is there when the client is served."""
    lab = open_lab(lambda request: Reply("yes", calls=(Call("f", "{}"),)))
    client = open_client(lab)
    for stream in (False, True):
        answer = client.chat.completions.create(model="m", messages=QUESTION, stream=stream)
        if stream:
            list(answer)
        entry = lab.journal[-1]
        assert entry.stream is stream
        assert entry.json == orjson.loads(entry.body)
        assert entry.json["messages"] == QUESTION
        assert entry.headers["authorization"] == "Bearer any"
        assert (entry.status, entry.prompt_tokens, entry.completion_tokens) == (200, 11, 3)
        assert 0 <= entry.started_s <= entry.ended_s <= lab.now()
    lab.reset()
    assert (lab.journal, lab.round_trips) == ([], 0)


def test_start_and_stop(open_wire: Any) -> None:
    """A lab can be started again; while it does not run it has no address."""
    lab = Lab(yes, tokens_per_s=math.inf, ttft_s=0)
    with pytest.raises(RuntimeError, match="does not run"):
        _ = lab.base_url
    for _ in range(2):
        with lab:
            assert open_wire(lab).chat()[0] == 200
            with pytest.raises(RuntimeError, match="runs already"):
                lab.start()
    lab.stop()
    assert lab.round_trips == 2


def test_stop_ends_running_requests(open_wire: Any) -> None:
    """Stopping does not wait for streams: they are cut, and stand in the journal."""
    lab = Lab(lambda request: Reply(LONG), tokens_per_s=10)
    with lab:
        body = {"messages": QUESTION, "stream": True}
        response = open_wire(lab).post("/v1/chat/completions", body)
        response.read(10)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        response.read()
    assert [entry.cancelled for entry in lab.journal] == [True]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("dialect", "groq"),
        ("encoding", "gpt2"),
        ("include_usage", True),
        ("tokens_per_s", 0),
        ("ttft_s", -1),
        ("time_scale", 0),
        ("chunk_tokens", 0),
        ("api_keys", "one-key"),
    ],
)
def test_wrong_options_are_refused_by_name(option: str, value: Any) -> None:
    """A wrong option fails when the lab is made and says which one it is."""
    with pytest.raises(ConfigError, match=rf"Lab\.{option}"):
        Lab(yes, **{option: value})


def test_without_the_extra() -> None:
    """Where the server's packages are missing, only the server is, and the error says how."""
    code = """
import sys
sys.modules["starlette"] = sys.modules["uvicorn"] = None
from batchwrap.lab import FileReader, RateLimit, Reply, Script
try:
    from batchwrap.lab import Lab
except ImportError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "batchwrap[lab]"' in ran.stdout
