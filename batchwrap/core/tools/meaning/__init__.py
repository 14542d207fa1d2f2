"""What a model meant by the arguments of a multi-call: one search over meanings.

    text -> decode -> search (toolbox: which tool? forms: which arguments?) -> Meaning

Whatever has exactly one meaning under the tools' schemas is understood; two meanings are none.
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
