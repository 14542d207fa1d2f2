"""Runs the examples in README, docs and docstrings along with the tests."""

import os
from collections.abc import Iterator
from doctest import ELLIPSIS
from importlib.util import find_spec
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser
from sybil.parsers.rest import DocTestParser

# No test may depend on a file in a folder above this one.
os.environ["BATCHWRAP_CONFIG"] = "off"
# litellm would ask the network for prices when it is imported.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

# The README shows litellm, which lives in an environment of its own (see the Makefile). What the
# guides of frameworks show is run as examples/frameworks, where the frameworks are.
_pages = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=[
        "README.md",
        "docs/*.md",
        *(f"docs/guides/{page}.md" for page in ("README", "litellm", "serve")),
    ],
    setup=lambda namespace: namespace.update(has_litellm=bool(find_spec("litellm"))),
)
_docstrings = Sybil(parsers=[DocTestParser(optionflags=ELLIPSIS)], patterns=["batchwrap/**/*.py"])

pytest_collect_file = (_pages + _docstrings).pytest()


@pytest.fixture(scope="module", autouse=True)
def few_certificates() -> Iterator[None]:
    """HTTP clients load one certificate and not the 140 of the machine.

    Loading those takes 40 ms of CPU time for each client, thousands of times, although no test
    talks TLS. A folder whose tests do overrides this fixture.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(Path(__file__).parent / "tests" / "certificate.pem"))
        yield
