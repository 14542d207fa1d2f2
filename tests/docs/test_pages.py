"""What the pages say is so: commands, names and tables."""

import ast
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

import batchwrap
import batchwrap.serve
import batchwrap.testing
import batchwrap.tools
from batchwrap.cli.app import app
from batchwrap.configuration import configured
from batchwrap.options import Options

ROOT = Path(__file__).parents[2]
ACME = "batchwrap/providers/acme.toml"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
FRAMEWORKS = [
    page
    for page in sorted((ROOT / "docs" / "guides").glob("*.md"))
    if (ROOT / "examples" / "frameworks" / f"with_{page.stem.replace('-', '_')}.py").exists()
]
OWN_FILES = (
    r"^https://(?:github\.com/batchwrap/batchwrap/blob|raw\.githubusercontent\.com/batchwrap/batchwrap)"
    r"/main/(.+)"
)
MODULES = (batchwrap, batchwrap.testing, batchwrap.tools, batchwrap.serve)


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced blocks of a page that are in one of these languages."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [text for language, text in fenced if language in languages]


def commands(page: Path) -> list[str]:
    """What a page tells to type at the command `batchwrap`."""
    if page.name == "cli.md":
        return []
    typed = "\n".join(blocks(page, "sh", "text")).replace("\\\n", " ")
    lines = [re.sub(r"^(\w+=\S+ |\.venv/bin/)+", "", line.strip()) for line in typed.splitlines()]
    inline = re.findall(r"`(batchwrap [^`\n]*)`", page.read_text("utf-8"))
    return [line for line in (*lines, *inline) if re.match(r"batchwrap [a-z-]", line)]


TYPED = [(page.name, command) for page in PAGES for command in commands(page)]


@pytest.mark.parametrize(("page", "command"), TYPED, ids=[" ".join(pair) for pair in TYPED])
def test_commands_exist(page: str, command: str) -> None:
    """A command on a page has the name and the options that the program knows."""
    name, *words = shlex.split(command, comments=True)[1:]
    group: Any = typer.main.get_command(app)
    if name.startswith("-"):
        name, words, found = "", [name, *words], group
    else:
        found = group.commands[name]
    known = {option for parameter in found.params for option in parameter.opts} | {"--help"}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


def test_pages_show_commands() -> None:
    """The commands of the pages are found at all."""
    assert len(TYPED) > 20


def test_the_page_of_the_command_line_is_current() -> None:
    """docs/cli.md is what the commands say; `make docs-cli` writes it anew."""
    wanted = runpy.run_path(str(ROOT / "docs" / "write_cli.py"))["page"]()
    shown = (ROOT / "docs" / "cli.md").read_text("utf-8")
    assert shown.split() == wanted.split()  # lines break where the terminal's library likes


def test_the_page_of_the_multi_tools_is_current() -> None:
    """docs/multi-tools.md is what a model gets; `make docs-multi-tools` writes it anew."""
    wanted = runpy.run_path(str(ROOT / "docs" / "write_multi_tools.py"))["page"]()
    assert (ROOT / "docs" / "multi-tools.md").read_text("utf-8") == wanted


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_name_is_missing(page: Path) -> None:
    """Pasted in their order, the blocks of a page name nothing that they do not define."""
    program = "\n".join(blocks(page, "python"))
    checked = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--isolated",
            "--select=F821",
            "--stdin-filename=page.py",
            "-",
        ],
        input=program,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_the_page_of_the_options_is_current() -> None:
    """docs/configuration.md lists the options that there are; `make docs-configuration` does."""
    wanted = runpy.run_path(str(ROOT / "docs" / "write_configuration.py"))["page"]()
    assert (ROOT / "docs" / "configuration.md").read_text("utf-8") == wanted


def test_the_files_of_the_page_of_the_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it shows as a file can be used as one; the first one without being named."""
    found, named = blocks(ROOT / "docs" / "configuration.md", "toml")
    monkeypatch.delenv("BATCHWRAP_CONFIG")
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "batchwrap.toml"
    file.write_text(found)
    assert configured().options != Options()
    file.write_text(named)
    assert configured(file).options != Options()


def test_the_page_of_measurements_is_current() -> None:
    """It is what the files say; `make docs-measurements` writes it anew."""
    wanted = runpy.run_path(str(ROOT / "docs" / "write_measurements.py"))["page"]()
    assert (ROOT / "docs" / "measurements.md").read_text("utf-8") == wanted


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_reference_names_all(module: Any) -> None:
    """Every public name of a module stands in the reference, and no other one does."""
    page = (ROOT / "docs" / "reference.md").read_text("utf-8")
    named = re.findall(rf"^\.\. [\w:]+:: {re.escape(module.__name__)}\.(\w+)$", page, re.MULTILINE)
    assert sorted(named) == sorted(module.__all__)


@pytest.mark.parametrize("page", FRAMEWORKS, ids=lambda page: page.stem)
def test_guides_follow_their_examples(page: Path) -> None:
    """What a guide to a framework imports, its example does, which is run with the framework."""
    example = ROOT / "examples" / "frameworks" / f"with_{page.stem.replace('-', '_')}.py"
    [shown] = blocks(page, "python")[:1]
    assert imports(shown) - sys.stdlib_module_names <= imports(example.read_text("utf-8"))


def imports(source: str) -> set[str]:
    """The modules that a source imports."""
    nodes = list(ast.walk(ast.parse(source)))
    plain = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    return plain | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def test_paths_in_contributing_exist() -> None:
    """Every file and test that CONTRIBUTING names is there, but for the one to be added."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = re.findall(r"`((?:batchwrap|tests)/[\w/.]+)`", text)
    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).exists()] == [ACME]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """A link to a file of the repository leads to one, also where no site is built."""
    local = [link for link in links(page) if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_links_of_the_package_page() -> None:
    """The README is the page of the package, too: its links are absolute, to files that exist."""
    found = links(ROOT / "README.md") + re.findall(
        r'(?:src|srcset)="([^"]+)"', (ROOT / "README.md").read_text("utf-8")
    )
    assert [link for link in found if not link.startswith("https://")] == []
    own = [part for link in found for part in re.findall(OWN_FILES, link)]
    assert len(own) > 15
    assert [path for path in own if not (ROOT / path).exists()] == []


def links(page: Path) -> list[str]:
    """Where the links of a page lead, without their anchors."""
    return re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
