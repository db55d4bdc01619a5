"""A small chart of a tick among its neighbours, as the geometry of an SVG. Pure: templates draw it.

Ticks stand side by side in key order, not in proportion to time. The scale is that of the stored prices but for those
that were released, so that one that cannot be does not flatten the others; a price beyond it stands at the edge, with
its value.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from tickhub.quarantine.neighbours import Neighbour

WIDTH, HEIGHT = 900, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 20, 24, 28
_SIDES = ("bid", "ask", "last")


@dataclass(frozen=True, slots=True)
class Dot:
    """One price: its place, and what is told of it; ``way`` is up or down where it lies beyond the scale."""

    x: float
    y: float
    side: str
    label: str
    text: str
    is_stored: bool
    way: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines as ``(side, points)``, dots, the scale as ``(y, price)``, and the place of the tick that is looked at."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    dots: list[Dot] = field(default_factory=list)
    scale: list[tuple[float, str]] = field(default_factory=list)
    here_x: float | None = None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def draw(rows: Sequence[Neighbour]) -> Chart | None:
    """Return the chart of some ticks in key order; None where none has a price."""
    bounds = _bounds([row for row in rows if row.is_stored and not row.is_released]) or _bounds(rows)
    if bounds is None:
        return None
    low, high = bounds
    step = (WIDTH - _LEFT - _RIGHT) / max(len(rows) - 1, 1)
    xs = [round(_LEFT + step * place, 1) for place in range(len(rows))]
    here = [x for x, row in zip(xs, rows, strict=True) if row.is_here]
    found = Chart(here_x=here[-1] if here else None)
    found.scale.extend((round(_y(price, low, high), 1), f"{price:.6g}") for price in (low, (low + high) / 2, high))
    for side in _SIDES:
        found.lines.extend((side, points) for points in _line(rows, xs, side, low, high))
        found.dots.extend(_dots(rows, xs, side, low, high))
    return found


def _prices(row: Neighbour) -> list[float]:
    return [price for price in (row.bid, row.ask, row.last) if price != 0 and math.isfinite(price)]


def _bounds(rows: Sequence[Neighbour]) -> tuple[float, float] | None:
    """Return the lowest and the highest price, a little apart where they are one."""
    prices = [price for row in rows for price in _prices(row)]
    if not prices:
        return None
    low, high = min(prices), max(prices)
    if high - low < abs(high) * 1e-9:
        # Nothing moved: the line stands in the middle.
        low, high = low - abs(low) * 1e-4, high + abs(high) * 1e-4
    return low, high


def _y(price: float, low: float, high: float) -> float:
    share = min(max((price - low) / (high - low), 0.0), 1.0)
    return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)


def _line(rows: Sequence[Neighbour], xs: list[float], side: str, low: float, high: float) -> list[str]:
    """Return the line through the stored prices of a side, none where there are fewer than two."""
    points = [
        f"{x},{_y(price, low, high):.1f}"
        for x, row in zip(xs, rows, strict=True)
        if row.is_stored and (price := getattr(row, side)) != 0 and math.isfinite(price)
    ]
    return [" ".join(points)] if len(points) > 1 else []


def _dots(rows: Sequence[Neighbour], xs: list[float], side: str, low: float, high: float) -> list[Dot]:
    found = []
    for x, row in zip(xs, rows, strict=True):
        price = getattr(row, side)
        if price == 0 or math.isnan(price):
            continue
        way = "up" if price > high else "down" if price < low else ""
        y = _TOP if price == math.inf else HEIGHT - _BOTTOM if price == -math.inf else _y(price, low, high)
        found.append(Dot(x, round(y, 1), side, repr(price), f"{side} {price!r} at {row.time}", row.is_stored, way))
    return found
