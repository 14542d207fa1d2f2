"""The site: `make docs` builds it from the pages here and from the docstrings."""

import inspect
from dataclasses import is_dataclass
from typing import Any

from batchwrap import __version__

project = "batchwrap"
author = "the batchwrap authors"
release = __version__
copyright = f"2026, {author}"  # noqa: A001 - Sphinx wants this name

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = []
default_role = "code"  # docstrings mark names with single backticks

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
# Types of other projects have no page here, and looking theirs up would need the network. What is
# ours and missing is still an error, but for the names that only type hints use.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!batchwrap\.).*"),
    (r"py:.*", r"batchwrap\.(?:[a-z_]+\.)+[A-Z]\w*"),
]

html_theme = "furo"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_title = f"batchwrap {release}"
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6e4f", "color-brand-content": "#0b6e4f"},
    "dark_css_variables": {"color-brand-primary": "#6fd3a7", "color-brand-content": "#6fd3a7"},
}


class _Plain(str):
    """A text that is shown without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def _as_written(parameter: inspect.Parameter) -> inspect.Parameter:
    """A field with its type as it stands in the source, and a default that fits on a line."""
    default = parameter.default
    if default is not inspect.Parameter.empty:
        shown = repr(default)
        default = _Plain(shown if len(shown) < 60 and shown != "<factory>" else "...")
    return parameter.replace(annotation=_Plain(parameter.annotation), default=default)


def _signature(app: Any, what: str, name: str, it: Any, *_: Any) -> tuple[str, None] | None:
    """Signatures of our dataclasses, which Sphinx would show with the full names of all types."""
    if what not in ("class", "exception") or not is_dataclass(it):
        return None
    parameters = inspect.signature(it).parameters.values()
    return str(inspect.Signature([_as_written(one) for one in parameters])), None


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", _signature)
