"""Finds out which calls the arguments of a multi-call mean, whatever form the model has used.

    text -> decode -> search (toolbox: which tool? forms: which arguments?) -> calls

Models do not keep to the offered schema: they send a list as a text, put calls into other wrappers,
or use other names for parameters. A value is understood if it has exactly one meaning under the
schemas of the agent's tools. With two meanings it is not, since a guess may change a wrong file.

The search is pure and linear: each value is read once, for one tool.
"""

from batchwrap.core.tools.meaning import corrections
from batchwrap.core.tools.meaning.decode import NOTHING, cut_back, decoded
from batchwrap.core.tools.meaning.forms import ParameterForm
from batchwrap.core.tools.meaning.search import Meant, Misread, Part, read
from batchwrap.core.tools.meaning.toolbox import MIXED, Toolbox

__all__ = [
    "MIXED",
    "NOTHING",
    "Meant",
    "Misread",
    "ParameterForm",
    "Part",
    "Toolbox",
    "corrections",
    "cut_back",
    "decoded",
    "read",
]
