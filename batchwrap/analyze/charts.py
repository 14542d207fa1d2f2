"""Charts as plain inline SVG: bars and columns. Their colours come from the page's style sheet.

They are 360 units wide, like a phone, so their texts stay readable there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from batchwrap.analyze.report_words import visible

_WIDTH = 360
_ROW, _BAR, _GAP = 40, 12, 18
_HEIGHT = 150
_LONGEST = 34


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of a bar chart.

    Attributes:
        label: the text on the left.
        parts: pairs of a class in the style sheet and an amount, drawn side by side.
        said: the text on the right, which is the amount in words.
    """

    label: str
    parts: Sequence[tuple[str, float]]
    said: str


def bars(title: str, rows: Sequence[Bar]) -> str:
    """Horizontal bars below each other, on one scale; empty if there are no rows."""
    if not rows:
        return ""
    most = max(sum(amount for _, amount in row.parts) for row in rows) or 1
    drawn = "".join(_bar(row, place * _ROW, most) for place, row in enumerate(rows))
    return _svg(title, len(rows) * _ROW, drawn)


def columns(title: str, amounts: Sequence[tuple[str, float]]) -> str:
    """Vertical columns beside each other; empty if all amounts are 0."""
    most = max((amount for _, amount in amounts), default=0)
    if not most:
        return ""
    width = _WIDTH / len(amounts)
    room = _HEIGHT - 34
    drawn = "".join(
        _column(label, amount, place * width, width, room * amount / most)
        for place, (label, amount) in enumerate(amounts)
    )
    return _svg(title, _HEIGHT, drawn)


def _bar(row: Bar, top: int, most: float) -> str:
    left, drawn = 0.0, f'<rect class="track" y="{top + _GAP}" width="{_WIDTH}" height="{_BAR}"/>'
    for style, amount in row.parts:
        width = _WIDTH * max(0.0, amount) / most
        drawn += (
            f'<rect class="{escape(style)}" x="{left:.1f}" y="{top + _GAP}" width="{width:.1f}"'
            f' height="{_BAR}"/>'
        )
        left += width
    label = row.label if len(row.label) <= _LONGEST else f"…{row.label[1 - _LONGEST :]}"
    said = escape(visible(row.said))
    return (
        f'<text y="{top + 12}">{escape(visible(label))}</text>'
        f'<text class="amount" x="{_WIDTH}" y="{top + 12}">{said}</text>{drawn}'
    )


def _column(label: str, amount: float, left: float, width: float, height: float) -> str:
    middle, foot = left + width / 2, _HEIGHT - 18
    return (
        f'<rect class="safe" x="{left + 2:.1f}" y="{foot - height:.1f}" width="{width - 4:.1f}"'
        f' height="{height:.1f}"/>'
        f'<text class="middle" x="{middle:.1f}" y="{foot - height - 4:.1f}">{amount:,.0f}</text>'
        f'<text class="middle" x="{middle:.1f}" y="{_HEIGHT - 4}">{escape(visible(label))}</text>'
    )


def _svg(title: str, height: int, drawn: str) -> str:
    return (
        f"<figure><figcaption>{escape(visible(title))}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(visible(title))}">'
        f"{drawn}</svg></figure>"
    )
