"""A bench of several processes: each request goes to another one, and they share what they keep."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import replace
from typing import Any

from batchwrap.core.exchange.context import Context
from batchwrap.core.exchange.memory import Memory
from batchwrap.core.exchange.recall import Recall, Record
from batchwrap.core.exchange.translator import Translator
from tests.core.harness import Bench


class Shelf:
    """What processes share: the contents under each name, and under each part of it."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, bytes]] = defaultdict(dict)

    def keep(self, record: Record) -> None:
        """Keep a record."""
        self.kept[record.name][record.part] = record.content

    def load(self, names: list[str]) -> dict[str, list[bytes]]:
        """What is kept under these names."""
        return {name: [*self.kept[name].values()] for name in names if name in self.kept}


class Processes(Bench):
    """As many processes as there are requests at most; each of them gets every n-th request.

    Setting `memory` ends all of them, and begins others.
    """

    def __init__(self, *given: Any, count: int = 3, **options: Any) -> None:
        self._memories = [Memory() for _ in range(count)]
        self._exchanges = itertools.count()
        self._recalls: list[Recall] = []
        self.shelf = Shelf()
        super().__init__(*given, **options)

    def begin_again(self) -> None:
        """End all processes, and begin as many others."""
        self._memories = [Memory() for _ in self._memories]

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "memory":
            self.begin_again()
        else:
            super().__setattr__(name, value)

    def context(self) -> Context:
        """What an exchange of the next process gets."""
        self.flush()
        number = next(self._exchanges)
        place = number % len(self._memories)
        context = self.context_with(self._memories[place])
        recall = Recall(
            context.memory,
            self.api.format,
            now_s=self.now_s,
            now_unix_s=lambda: float(number),
            exchange=f"exchange-{number}",
            process=f"process-{place}",
        )
        self._recalls.append(recall)
        return replace(context, memory=recall.memory, recall=recall)

    def flush(self) -> None:
        """Keep what all exchanges so far have to tell."""
        for recall in self._recalls:
            for record in recall.news(is_last=True):
                self.shelf.keep(record)

    def translator(self, body: dict[str, Any]) -> Translator:
        """A translator of the next process, which has loaded what the others have kept."""
        context = self.context()
        translator = Translator(context, body, self.api.format)
        assert context.recall is not None
        names = [*translator.names()]
        while names:
            names = context.recall.take(self.shelf.load(names))
        return translator
