"""The page: in one piece, right in a real browser, and safe whatever stands in a log."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from batchwrap.analyze import analyze
from batchwrap.analyze.charts import Bar, bars, columns
from batchwrap.analyze.page import page
from tests.analyze import samples

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
# The report in a frame as wide as a phone; what it looks like there becomes text of the page.
FRAME = """<!doctype html><meta charset="utf-8"><iframe id="it" width="WIDTH" height="900"
srcdoc="PAGE"></iframe><pre id="out"></pre><script>
document.getElementById("it").onload = (event) => {
  const page = event.target.contentDocument, root = page.documentElement;
  const box = (it) => it.getBoundingClientRect();
  const all = (name) => [...page.querySelectorAll(name)];
  document.getElementById("out").textContent = JSON.stringify({
    title: page.querySelector("h1").textContent,
    width: root.scrollWidth, room: root.clientWidth,
    charts: all("svg").map((it) => box(it).width),
    bars: all("svg rect:not(.track)").filter((it) => box(it).width > 0).length,
    least: Math.min(...all("svg text").map((it) => box(it).height)),
    rows: all("tr").length, injected: all("script, img, b b").length,
    back: getComputedStyle(page.body).backgroundColor,
  });
};</script>"""


@pytest.fixture
def report(tmp_path: Path) -> str:
    """The page of two logs."""
    (tmp_path / "1").write_bytes(samples.claude_code())
    (tmp_path / "2").write_bytes(samples.codex())
    return page(analyze([str(tmp_path / "1"), str(tmp_path / "2")], plan="cerebras/code-pro"))


def rendered(content: str, folder: Path, *, width: int = 360, dark: bool = False) -> dict[str, Any]:
    """What a headless browser makes of the page."""
    if BROWSER is None:
        pytest.skip("no chromium here")
    file = folder / "frame.html"
    framed = FRAME.replace("WIDTH", str(width)).replace("PAGE", html.escape(content))
    file.write_text(framed, encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    flags += ["--virtual-time-budget=5000"]
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    profile = f"--user-data-dir={folder / 'profile'}"
    ran = subprocess.run(
        [BROWSER, *flags, scheme, profile, "--dump-dom", file.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r'<pre id="out">(.*?)</pre>', ran.stdout, re.DOTALL)
    assert found is not None
    seen: dict[str, Any] = json.loads(html.unescape(found[1]))
    return seen


def test_in_a_browser(report: str, tmp_path: Path) -> None:
    """On a phone nothing is wider than the screen, all charts are drawn, and texts are readable."""
    seen = rendered(report, tmp_path)
    assert seen["title"].startswith("Batching would save 8.3 to 16.7 % of 12 round trips")
    assert seen["width"] <= seen["room"]
    assert len(seen["charts"]) == 6 and min(seen["charts"]) > 250
    assert seen["bars"] >= 10
    assert seen["least"] >= 9
    assert seen["rows"] > 15


def test_dark_and_light(report: str, tmp_path: Path) -> None:
    """The page follows the reader's colours."""
    light = rendered(report, tmp_path)["back"]
    dark = rendered(report, tmp_path, dark=True, width=1_200)["back"]
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(20, 25, 31)")


def test_nothing_from_elsewhere(report: str) -> None:
    """No script, and no address of anything."""
    assert not re.search(r"<script|<link|<img|https?://|url\(|@import", report)
    assert "default-src 'none'" in report


def test_scripts_stand_apart(report: str) -> None:
    """What scripts could save at most has a table of its own, and words that say what it is."""
    assert "<h2>What scripts could save at most: an upper bound</h2>" in report
    assert "The figures for scripts are an upper bound and no more." in report


def test_what_the_headline_means(report: str) -> None:
    """The three rules are explained under the headline, before any figure."""
    head, _, rest = report.partition('<ul class="facts">')
    assert all(f"<dt>{rule}</dt><dd>" in head for rule in ("safe", "careful", "upper"))
    assert "at most 8 calls" in head and "<dt>" not in rest


def test_what_caching_makes_of_it(report: str, tmp_path: Path) -> None:
    """A card says what is saved of all tokens and of those charged in full, if anything is."""
    assert "What caching makes of it" in report
    # 12 requests of 1,000 to 1,500 tokens, of which all but what is new came from a cache.
    assert "80 % of the prompt tokens came from a cache." in report
    (tmp_path / "1").write_bytes(samples.swe_agent())
    assert "What caching makes of it" not in page(analyze([str(tmp_path / "1")]))


def test_no_cache(tmp_path: Path) -> None:
    """Where a log reports no cached token, the card says so."""
    log = samples.claude_code().replace(b'"cache_read_input_tokens":1', b'"none":1')
    (tmp_path / "log").write_bytes(log)
    assert "No prompt token is reported" in page(analyze([str(tmp_path / "log")]))


def test_the_foot(report: str) -> None:
    """The foot of the page says what made it, and when, if that is told."""
    made = page(analyze(["/no/such/file"]), "batchwrap <9>, 2026-11-29")
    assert "<footer>batchwrap &lt;9&gt;, 2026-11-29</footer>" in made
    assert "<footer></footer>" in report


def test_names_are_escaped(tmp_path: Path) -> None:
    """What stands in a log is text, and nothing that the browser runs."""
    evil = '<b><img src=x onerror="alert(1)"></b>$title'
    (tmp_path / "log").write_bytes(
        samples.claude_code()
        .replace(b"swift", b"$back" + evil.encode().replace(b'"', b"'"))
        .replace(b"src/a.py", b"<script>a")
    )
    seen = rendered(page(analyze([str(tmp_path / "log")])), tmp_path)
    assert seen["injected"] == 0
    assert seen["rows"] > 5


def test_an_empty_report() -> None:
    """Without a session there is a page all the same, which says so."""
    made = page(analyze(["/no/such/file"]))
    assert "No round trip was found." in made and "/no/such/file: cannot be read" in made
    assert "<svg" not in made


def test_charts() -> None:
    """Bars share one scale, columns too; a long label keeps its end; nothing makes no chart."""
    drawn = bars("t", [Bar("x" * 50 + "end", [("safe", 1), ("more", 1)], "2"), Bar("y", [], "0")])
    assert re.findall(r'class="(?:safe|more)" x="([\d.]+)" y="18" width="([\d.]+)"', drawn) == [
        ("0.0", "180.0"),
        ("180.0", "180.0"),
    ]
    assert "xend</text>" in drawn and "x" * 40 not in drawn
    assert 'height="116.0"' in columns("t", [("1", 5), ("2", 0)])
    assert bars("t", []) == columns("t", [("1", 0)]) == ""


def test_batches_of_any_size() -> None:
    """A page for batches of up to a billion calls has as many columns as any other."""
    small, large = (page(analyze(["/no/such/file"], most=most)) for most in (100, 10**9))
    assert small.count("<text") == large.count("<text")
