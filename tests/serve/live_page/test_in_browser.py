"""The page in a real Chromium, with real requests through `serve`: what a person sees.

Its numbers are those of the requests, it fits a phone, it follows the reader's colours, and no name
that an agent, a model or a provider has chosen becomes markup.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from batchwrap.lab import Lab, Raw, Reply
from batchwrap.options import Limit
from batchwrap.serve import Server
from tests.adapters.conversation import MULTI_CALL, TOOLS, USER
from tests.serve.live_page.browser import Browser
from tests.serve.sockets import ask, message, upstream

InFront = Callable[..., Server]
EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>"
LIVE = "document.getElementById('state').textContent === 'live'"
FACTS = "document.getElementById('facts').innerText"
# The contrast of each text with what is behind it, as WCAG 2 computes it; the worst one.
CONTRAST = """(() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (text) => {
    const [r, g, b] = numbers(text).map((v) => v / 255)
      .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const back = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$|transparent/.test(back)) return back;
    }
    return "rgb(255, 255, 255)";
  };
  let worst = [99, ""];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
    if (!own || !node.getClientRects().length || node instanceof SVGElement) continue;
    const [a, b] = [light(getComputedStyle(node).color), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, node.textContent];
  }
  return worst;
})()"""


def post(server: Server, body: dict[str, Any], *headers: tuple[bytes, bytes]) -> None:
    """Send a chat request."""
    content = orjson.dumps(body)
    framed = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    ask(server.url, b"POST /v1/chat/completions", [*framed, *headers], content)


def test_live(serve: Any, in_front: InFront, browser: Browser) -> None:
    """What happens is shown without a reload: round trips, turns, limits, chart."""
    lab = serve(MULTI_CALL, Reply("Done."))
    server = in_front(lab.base_url, limits=[Limit("tokens", 100_000), Limit("concurrency", 3)])
    browser.open(f"{server.url}/")
    browser.until(LIVE)
    assert browser.run("location.pathname") == "/batchwrap"
    hint = browser.run("document.getElementById('hint').innerText")
    assert hint == f"No request yet. The base URL for agents is {server.base_url}"
    assert browser.run("document.getElementById('waiting').innerText") == "No request waits."
    post(server, {"model": "m", "messages": [USER], "tools": TOOLS})
    browser.until(f"{FACTS}.includes('1 by batches, 0 by scripts: 50 % of 2')")
    turns = browser.run("document.getElementById('turns').innerText")
    assert "Conversation 1" in turns and "multi_read" in turns and "read_file ×2" in turns
    assert browser.run("document.getElementById('hint').hidden")
    browser.until("document.querySelectorAll('figure svg').length === 2")
    labels = "[...document.querySelectorAll('figure svg')].map((it) => it.ariaLabel)"
    limits = browser.run(labels)
    assert [text.partition(":")[0] for text in limits] == [
        "100,000 tokens per 60 s",
        "3 requests at the same time",
    ]
    browser.until("document.querySelector('#tokens path.fresh').getBBox().height > 0")
    assert browser.run("document.querySelector('#tokens .limit-text').textContent") == (
        "limit: 100,000 tokens per 60 s"
    )
    post(server, {"model": "m", "messages": [USER], "tools": TOOLS})
    browser.until("document.getElementById('turns').innerText.includes('text only')")
    assert browser.problems == []


def test_names_are_texts(in_front: InFront, browser: Browser) -> None:
    """Models, tools and repairs with markup in their names are shown, and nothing of it runs."""
    tool = {**TOOLS[0], "function": {**TOOLS[0]["function"], "name": EVIL}}
    called = {"id": "c1", "type": "function", "function": {"name": EVIL, "arguments": "{}"}}
    said = {"role": "assistant", "content": None, "tool_calls": [called]}
    choice = {"index": 0, "message": said, "finish_reason": "tool_calls"}
    content = orjson.dumps({"id": "x", "object": "chat.completion", "choices": [choice]})
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    with upstream(message(b"HTTP/1.1 200 OK", head, content)) as behind:
        server = in_front(behind.url)
        post(server, {"model": EVIL, "messages": [USER], "tools": [tool]})
        browser.open(f"{server.url}/batchwrap")
        browser.until("document.querySelectorAll('.chip').length === 2")
        for where in (".said .chip", ".got .chip", "#turns summary"):
            assert EVIL in browser.run(f"document.querySelector('{where}').innerText")
        assert browser.run("document.querySelectorAll('img, main script').length") == 0
        assert browser.problems == []
        # Nor could a mistake in the script make markup of a text.
        made = "(() => { try { document.body.innerHTML = '<b>'; } catch (e) { return e.name; } })()"
        assert browser.run(made) == "TypeError"


def test_waits_and_refusals(in_front: InFront, browser: Browser) -> None:
    """Who waits is shown while it waits, and what the provider refused."""
    leave = threading.Event()
    busy = Raw(503, {"content-type": "application/json", "retry-after": "0"}, (b"{}",))
    replies: Iterator[Reply | Raw] = iter([busy, Reply("One."), Reply("Two.")])

    def model(request: dict[str, Any]) -> Reply | Raw:
        reply = next(replies)
        if reply is not busy:
            leave.wait(60)
        return reply

    with Lab(model, tokens_per_s=1e9, ttft_s=0) as lab:
        server = in_front(lab.base_url, limits=[Limit("concurrency", 1)])
        asked = {"model": "m", "messages": [USER]}
        tasks = [threading.Thread(target=post, args=(server, asked)) for _ in range(2)]
        browser.open(f"{server.url}/batchwrap")
        browser.until(LIVE)
        for task in tasks:
            task.start()
        browser.until("document.querySelector('#waiting td') !== null")
        waits = browser.run("document.querySelector('#waiting td').innerText")
        assert waits.startswith("1 requests at the same time")
        browser.until(f"/Waiting now\\s+1\\s/.test({FACTS})")
        leave.set()
        for task in tasks:
            task.join(60)
        browser.until("document.querySelector('#waiting td') === null")
        refused = browser.until("document.querySelector('#refusals td')?.innerText")
        assert refused.startswith("503 overloaded")
        browser.until(f"/Refusals\\s+1\\s+1 retry/.test({FACTS})")


def test_above_the_limit(in_front: InFront, browser: Browser) -> None:
    """Only if more passed in a minute than the limit says, a line explains how that can be."""
    usage = {"prompt_tokens": 90, "completion_tokens": 10, "total_tokens": 100}
    said = {"role": "assistant", "content": "Done."}
    choice = {"index": 0, "message": said, "finish_reason": "stop"}
    content = orjson.dumps({"id": "x", "choices": [choice], "usage": usage})
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    with upstream(message(b"HTTP/1.1 200 OK", head, content)) as behind:
        limits = [Limit("tokens", 190), Limit("output_tokens", 15), Limit("tokens", 99, 3_600)]
        server = in_front(behind.url, limits=limits[:2])
        browser.open(f"{server.url}/batchwrap")
        chart = "document.querySelector('#tokens svg').ariaLabel"
        hidden = "document.getElementById('tokens-note').hidden"
        asked = {"model": "m", "messages": [USER], "max_tokens": 5}
        post(server, asked)
        browser.until(f"{chart}.endsWith('100 now, 100 at most')")
        assert browser.run(hidden)  # above the line of the output, which was not exceeded
        post(server, asked)
        browser.until(f"{chart}.endsWith('200 now, 200 at most')")
        assert not browser.run(hidden)
        note = browser.run("document.getElementById('tokens-note').innerText")
        assert note.startswith("Some minutes are above the limit: a full bucket")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 400, 1_280])
def test_looks(serve: Any, in_front: InFront, browser: Browser, width: int, dark: bool) -> None:
    """Nothing is wider than the screen, and all texts have the contrast that WCAG asks for."""
    lab = serve(MULTI_CALL)
    server = in_front(lab.base_url, limits=[Limit("tokens", 100_000), Limit("requests", 9)])
    post(server, {"model": "a-model-" * 12, "messages": [USER], "tools": TOOLS})
    browser.look(width=width, dark=dark)
    browser.open(f"{server.url}/batchwrap")
    browser.until("document.querySelectorAll('.chip').length >= 2")
    browser.until("document.querySelectorAll('figure svg').length === 2")
    root = "document.documentElement"
    assert browser.run(f"{root}.scrollWidth <= {root}.clientWidth")
    back = browser.run("getComputedStyle(document.body).backgroundColor")
    assert back == ("rgb(17, 22, 27)" if dark else "rgb(246, 248, 250)")
    ratio, text = browser.run(CONTRAST)
    assert ratio >= 4.5, text
    pressed = "[...document.querySelectorAll('header button, summary')]"
    assert browser.run(f"{pressed}.every((it) => it.getBoundingClientRect().height >= 24)")


def test_for_all_readers(serve: Any, in_front: InFront, browser: Browser) -> None:
    """Charts have words for those who do not see them, and what moves can be stopped."""
    server = in_front(serve(MULTI_CALL).base_url)
    browser.look(width=1_280, calm=True)
    browser.open(f"{server.url}/batchwrap")
    browser.until(LIVE)
    browser.until("document.querySelector('#tokens svg') !== null")
    shown = "[...document.querySelectorAll('svg')].map((it) => [it.role, it.ariaLabel])"
    charts = browser.run(shown)
    assert charts and all(role == "img" and label for role, label in charts)
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles = [node["role"]["value"] for node in tree if not node.get("ignored")]
    assert roles.count("heading") >= 7 and "status" in roles and "main" in roles
    for moved in ("transition-duration", "animation-duration"):
        style = f"getComputedStyle(one).getPropertyValue('{moved}') === '0s'"
        assert browser.run(f"[...document.querySelectorAll('body *')].every((one) => {style})")
    browser.run("document.getElementById('pause').click()")
    assert browser.run("document.getElementById('pause').getAttribute('aria-pressed')") == "true"
    before = browser.run("document.getElementById('about').textContent")
    post(server, {"model": "m", "messages": [USER], "tools": TOOLS})
    browser.run("run()")  # what its timer does
    assert browser.run("document.getElementById('about').textContent") == before
    browser.run("document.getElementById('pause').click()")
    browser.until(f"{FACTS}.includes('1 by batches')")


def test_late_samples(serve: Any, in_front: InFront, browser: Browser) -> None:
    """A sample that is sent again replaces the first; those of a server before are dropped."""
    server = in_front(serve(MULTI_CALL).base_url)
    browser.open(f"{server.url}/batchwrap")
    browser.until(LIVE)
    again = """(() => {
      const n = shown.samples.at(-1).n;
      const rows = [0, 1].map((i) => ({ n: n + i, tokens: [7 + i, 0, 0], levels: {} }));
      take({ ...shown.data, samples: rows });
      return shown.samples.filter((sample) => sample.n >= n).map((sample) => sample.tokens[0]);
    })()"""
    assert browser.run(again) == [7, 8]
    restarted = "take({ ...shown.data, began: shown.data.began + 1, samples: [] })"
    assert browser.run(f"(() => {{ {restarted}; return shown.samples.length; }})()") == 0


def test_a_server_that_ends(serve: Any, in_front: InFront, browser: Browser) -> None:
    """If the server is gone, the page says so, and keeps what it has shown."""
    server = in_front(serve(MULTI_CALL).base_url)
    browser.open(f"{server.url}/batchwrap")
    browser.until(LIVE)
    server.stop()
    browser.until("document.getElementById('state').textContent === 'not connected, trying again'")
    assert "Round trips saved" in browser.run(FACTS)


def test_the_form(serve: Any, in_front: InFront, browser: Browser) -> None:
    """A person types the token once; a wrong one is said to be wrong; a reload needs no token."""
    server = in_front(serve(MULTI_CALL).base_url, token="the-token")
    browser.open(f"{server.url}/batchwrap")
    browser.until("document.getElementById('token') !== null")
    assert browser.run(CONTRAST)[0] >= 4.5
    for token in ("wrong", "the-token"):
        browser.run(f"document.getElementById('token').value = '{token}'")
        browser.run("document.querySelector('button').click()")
        if token == "wrong":
            browser.until(
                "document.getElementById('said').textContent === 'This is not the token.'"
            )
    browser.until(LIVE)
    assert browser.run("document.cookie") == ""
    browser.open(f"{server.url}/batchwrap")
    browser.until(LIVE)


def test_a_link(serve: Any, in_front: InFront, browser: Browser) -> None:
    """A link with the token opens the page, and the token does not stay in the address."""
    server = in_front(serve(MULTI_CALL).base_url, token="the-token")
    browser.open(f"{server.url}/batchwrap#token=the-token")
    browser.until(LIVE)
    assert "the-token" not in browser.run("location.href")
    entries = browser.call("Page.getNavigationHistory")["entries"]
    assert not any("the-token" in entry["url"] for entry in entries[1:])
