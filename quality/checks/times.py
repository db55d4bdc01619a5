"""Checks on times. Each returns one boolean per tick, shape (n,): True where it is wrong."""

from quality.checks.columns import Fields, Whole
from tickhub.core.ticks import Mask


def future(ticks: Fields, *, poll_msc: int, tolerance_ms: int) -> Mask:
    """Mark ticks later than the terminal's own time of the poll; a tolerance of 0 is none."""
    return ticks["time_msc"] > poll_msc + tolerance_ms


def stale(ticks: Fields, *, poll_msc: int, age_ms: Whole) -> Mask:
    """Mark ticks older than ``age_ms`` by the terminal's own time of the poll that brought them.

    ``age_ms`` is one number for all ticks, or one for each, shape (n,), int64.
    """
    return ticks["time_msc"] < poll_msc - age_ms


def implausible_day(ticks: Fields, *, earliest_msc: int, latest_msc: int) -> Mask:
    """Mark ticks outside ``[earliest_msc, latest_msc)``, which are no days of this instrument."""
    return (ticks["time_msc"] < earliest_msc) | (ticks["time_msc"] >= latest_msc)
