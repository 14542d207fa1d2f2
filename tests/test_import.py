"""`import batchwrap` is light, and a missing extra says what to install."""

import subprocess
import sys

HEAVY = (
    *("httpx", "httpx2", "openai", "litellm", "redis", "tiktoken", "rich", "typer", "starlette"),
    "opentelemetry",
)


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_loads_nothing_heavy() -> None:
    """No HTTP library, SDK, tokenizer or store is imported."""
    code = f"import batchwrap, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert python(code) == "[]"


def test_loads_few_modules() -> None:
    """It imports at most 20 modules of its own and 100 in all, the standard library's included.

    The time that they take depends on the machine; their number is 10 and 76 with Python 3.11.
    """
    code = (
        "import sys; before = set(sys.modules); import batchwrap; "
        "new = set(sys.modules) - before; "
        "print(len(new), sum(name.partition('.')[0] == 'batchwrap' for name in new))"
    )
    in_all, own = map(int, python(code).split())
    assert 0 < own <= 20
    assert in_all <= 100


def test_a_missing_extra_names_itself() -> None:
    """The error says which extra brings the package."""
    code = (
        "import sys; sys.modules['httpx2'] = None\n"
        "try: import batchwrap.adapters.httpx2\n"
        "except ImportError as error: print(error, error.extra)"
    )
    message = 'httpx2 is not installed; it comes with: pip install "batchwrap[httpx2]" httpx2'
    assert python(code) == message


def test_the_proxys_hook_without_litellm() -> None:
    """Importing it needs no litellm; using it names the extra."""
    code = (
        "import sys; sys.modules['litellm'] = None\n"
        "import batchwrap.litellm\n"
        "try: batchwrap.litellm.proxy\n"
        "except ImportError as error: print(error.extra)"
    )
    assert python(code) == "litellm"
