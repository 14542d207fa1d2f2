"""The toolbox: finds the tool of a request that a name means, also if a model varies the name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, Literal

from batchwrap.core.tools.find import SingleTool, words_of
from batchwrap.core.tools.meaning.aliases import FILLERS, MIXED_NAMES, VERBS
from batchwrap.core.tools.meaning.forms import ParameterForm


class Mixed(Enum):
    """The type of `MIXED`, which means a batch of several tools."""

    MIXED = "mixed"


MIXED: Final = Mixed.MIXED
Target = ParameterForm | Literal[Mixed.MIXED]


class Toolbox:
    """The tools that calls in a batch may name.

    Args:
        singles: the tools that can be batched, by name.
        barriers: the agent's other tools, by name.
        multis: the tool that runs the items, by the name of a multi-tool for one tool.
    """

    def __init__(
        self,
        singles: Mapping[str, SingleTool],
        barriers: Mapping[str, SingleTool],
        multis: Mapping[str, SingleTool] = MappingProxyType({}),
    ) -> None:
        self._forms = {
            name: ParameterForm.of(tool) for name, tool in {**singles, **barriers}.items()
        }
        self._multis = {name: self._forms[tool.name] for name, tool in multis.items()}
        self._stems: dict[frozenset[str], list[ParameterForm]] = {}
        for form in self._forms.values():
            self._stems.setdefault(_stem(form.tool.name), []).append(form)

    def __iter__(self) -> Iterator[ParameterForm]:
        return iter(self._forms.values())

    def has(self, name: str) -> bool:
        """Whether the agent has a tool with exactly this name."""
        return name in self._forms

    def form(self, tool: SingleTool) -> ParameterForm:
        """The form of one of the tools."""
        return self._forms[tool.name]

    def resolve(self, name: str) -> Target | None:
        """The tool that a name means; None if it means none, or may mean several.

        The name of a multi-tool means its single tool, even if it was not offered (`multi_grep`),
        since a list is accepted wherever a call is.
        """
        bare = name.removeprefix("functions.")
        exact = self._forms.get(name) or self._forms.get(bare) or self._multis.get(bare)
        if exact is not None:
            return exact
        if "_".join(words_of(name)) in MIXED_NAMES:
            return MIXED
        bare = name.replace("/", ".").replace(":", ".").rpartition(".")[2].rpartition("__")[2]
        if bare in self._forms:
            return self._forms[bare]
        stem = _stem(bare)
        if not stem:
            return None
        return self._only(self._stems.get(stem, [])) or self._by_verb(stem)

    def _by_verb(self, stem: frozenset[str]) -> ParameterForm | None:
        """The only tool of the kind that a verb means; None if there are several."""
        kinds = [kind for kind, verbs in VERBS.items() if stem <= verbs]
        forms = [form for form in self._forms.values() if form.tool.kind in kinds]
        return self._only(forms)

    @staticmethod
    def _only(forms: list[ParameterForm]) -> ParameterForm | None:
        return forms[0] if len(forms) == 1 else None


def _stem(name: str) -> frozenset[str]:
    """The words of a name without those that any tool's name may have."""
    return frozenset(word for word in words_of(name) if word not in FILLERS)
