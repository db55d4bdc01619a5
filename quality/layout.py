"""Lays a batch out for the checks: each feed's context and then its ticks, with what is known of each tick's feed."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from quality.checks import columns, neighbours
from quality.checks.columns import Real, Whole, Yes
from quality.checks.neighbours import Outlier, Series
from quality.rules import DEFAULTS, Thresholds
from tickhub.core.batch import Batch
from tickhub.core.ticks import Int64s, Mask
from tickhub.reference.queries import FeedFacts

# Larger than any difference, so that a check switched off marks nothing.
_NEVER = (1 << 62) - 1
_PRICES = ("bid", "ask", "last")


class Layout:
    """A batch for the checks. Arrays have one entry per tick, contexts included, shape (n,).

    A fact of the feeds is one number where all feeds of the batch share it: most batches are of alike ones.
    """

    def __init__(self, batch: Batch, facts: Mapping[int, FeedFacts], thresholds: Mapping[int, Thresholds]) -> None:
        pieces, counts = [], []
        for part, place, before in batch.slices():
            pieces += [batch.context[before], batch.ticks[place]]
            counts += [part.context_count, part.count]
        self._known = [facts[part.feed_id] for part in batch.parts]
        self._rules = [thresholds.get(part.feed_id, DEFAULTS) for part in batch.parts]
        self._sizes = [context + count for context, count in zip(counts[::2], counts[1::2], strict=True)]
        self.ticks = columns.of(pieces if any(counts[::2]) else [batch.ticks])
        self.count = sum(self._sizes)
        self._own: slice | Mask = _own(counts, is_single=len(batch.parts) == 1)
        index = np.arange(self.count, dtype=np.int64)
        begins = np.cumsum([0, *self._sizes[:-1]], dtype=np.int64) if self._sizes else index
        begin = begins if len(self._sizes) < 2 else np.repeat(begins, self._sizes)
        self.start: Int64s = np.maximum(index - neighbours.WINDOW, begin)
        self.has_previous: Mask = self.start < index

    def own(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:  # Any: of any field
        """Return what belongs to the batch's own ticks, without the contexts."""
        return values[self._own]

    def _each(self, values: list[Any], dtype: type[np.generic]) -> Any:  # Any: a number, or an array of them
        """Return a fact of each part as one number for all ticks, or as one per tick."""
        if values and values.count(values[0]) == len(values):
            return dtype(values[0])
        return np.repeat(np.array(values, dtype=dtype), self._sizes)

    @cached_property
    def is_quoted(self) -> Yes:
        """Which ticks are of an instrument priced by bid and ask."""
        return self._each([facts.is_quoted for facts in self._known], np.bool_)

    @cached_property
    def negative_allowed(self) -> Yes:
        """Which ticks are of an instrument whose prices may be below zero."""
        return self._each([facts.negative_prices for facts in self._known], np.bool_)

    @cached_property
    def per_point(self) -> Real:
        """Points per unit of price."""
        return self._each([10.0**facts.digits for facts in self._known], np.float64)

    @cached_property
    def steps(self) -> Real:
        """Steps of the grid per unit of price, 0 where none is looked for."""
        pairs = zip(self._known, self._rules, strict=True)
        return self._each(
            [10.0**facts.digits / rule.grid_points if rule.grid_points else 0.0 for facts, rule in pairs], np.float64
        )

    @property
    def spread(self) -> Outlier:
        """The rule for spreads."""
        return self._outlier("spread")

    def _outlier(self, name: str) -> Outlier:
        factors = [getattr(rule, f"{name}_factor") for rule in self._rules]
        floors = [getattr(rule, f"{name}_floor_points") for rule in self._rules]
        is_off = [None in pair for pair in zip(factors, floors, strict=True)]
        # Nothing is above a floor of this height.
        floors = [_NEVER if off else floor for off, floor in zip(is_off, floors, strict=True)]
        return Outlier(self._each([factor or 0 for factor in factors], np.int64), self._each(floors, np.int64))

    @property
    def revert_percent(self) -> Whole:
        """How much of a jump may be left of it once it has reverted."""
        return self._each([-1 if r.revert_percent is None else r.revert_percent for r in self._rules], np.int64)

    @property
    def stuck_ms(self) -> Whole:
        """For how long at least the ticks of a stuck feed are equal."""
        return self._each([_NEVER if rule.stuck_ms is None else rule.stuck_ms for rule in self._rules], np.int64)

    @property
    def has_band(self) -> bool:
        """Whether any feed of the batch has a band of prices."""
        return any(rule.band_low_points is not None or rule.band_high_points is not None for rule in self._rules)

    def band(self, name: str, *, otherwise: float) -> Real:
        """Return an edge of the band, ``low`` or ``high``, as a price.

        Points divided by their number in a unit are the double nearest to the decimal, which is what terminals give.
        """
        points = [getattr(rule, f"band_{name}_points") for rule in self._rules]
        pairs = zip(points, self._known, strict=True)
        return self._each([otherwise if p is None else p / 10.0**f.digits for p, f in pairs], np.float64)

    @cached_property
    def moved(self) -> dict[str, Mask]:
        """Which ticks have another bid, ask or last than their predecessor, by field."""
        return {side: columns.differs(self.ticks[side], self.has_previous) for side in _PRICES}

    @cached_property
    def has_moved(self) -> Mask:
        """Which ticks have a price that is not their predecessor's."""
        return self.moved["bid"] | self.moved["ask"] | self.moved["last"]

    @cached_property
    def has_changed(self) -> Mask:
        """Which ticks have a price or volume that is not their predecessor's, no predecessor, or no price at all."""
        changed = self.has_moved | ~self.has_previous
        if self.ticks["volume_real"].any():
            changed |= columns.differs(self.ticks["volume_real"], self.has_previous)
        bid, ask, last = (self.ticks[side] for side in _PRICES)
        return changed | ((bid == 0) & (ask == 0) & (last == 0))

    @cached_property
    def quote(self) -> "Points":
        """Bid and ask in points."""
        bid, is_bid = neighbours.points(self.ticks["bid"], self.per_point)
        ask, is_ask = neighbours.points(self.ticks["ask"], self.per_point)
        return Points(bid, ask, is_bid & is_ask & self.is_quoted)

    @cached_property
    def price(self) -> tuple[Int64s, Mask]:
        """The price that jumps are judged by: the middle in points, or the last price."""
        bid, ask, is_quote = self.quote.bid, self.quote.ask, self.quote.is_quote
        middle = (bid + ask) // 2
        if np.all(self.is_quoted):
            return middle, is_quote
        last, is_last = neighbours.points(self.ticks["last"], self.per_point)
        return np.where(self.is_quoted, middle, last), np.where(self.is_quoted, is_quote, is_last)

    @cached_property
    def moved_price(self) -> Series:
        """How far that price moved from its predecessor's."""
        return neighbours.moves(*self.price, start=self.start, rule=self._outlier("jump"))


def _own(counts: list[int], *, is_single: bool) -> slice | Mask:
    """Return where the batch's own ticks are; ``counts`` are those of each part's context and ticks in turn."""
    if is_single or not any(counts[::2]):
        return slice(counts[0] if counts else 0, None)
    return np.repeat([False, True] * (len(counts) // 2), counts)


@dataclass(frozen=True, slots=True)
class Points:
    """Quotes in whole points; ``is_quote`` marks those with both sides, of instruments priced by them."""

    bid: Int64s
    ask: Int64s
    is_quote: Mask
