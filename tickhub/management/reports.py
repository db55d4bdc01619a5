"""Writes a reconciliation for people."""

from collections.abc import Callable

from tickhub.reconcile import Report

_LINES_MAX = 20


def write(report: Report, line: Callable[[str], object]) -> None:
    """Write the totals, and what is not as it must be."""
    kept = report.stored + report.quarantined + report.duplicates + report.failed + report.waiting
    line(
        f"captured {report.captured:,} = stored {report.stored:,} + quarantined {report.quarantined:,} + duplicates"
        f" {report.duplicates:,} + failed {report.failed:,}"
        + (f" + waiting {report.waiting:,}" if report.waiting else "")
        + ("" if kept == report.captured else f"   (off by {report.captured - kept:,})")
    )
    lost = "unknown" if report.lost is None else f"{report.lost:,}"
    twice = "unknown" if report.stored_twice is None else f"{report.stored_twice:,}"
    line(f"lost {lost}, stored twice {twice}, flagged {report.flagged:,}")
    for reason in report.unavailable:
        line(f"unavailable: {reason}")
    for difference in report.differences[:_LINES_MAX]:
        line(f"different: {difference}")
    if len(report.differences) > _LINES_MAX:
        line(f"… and {len(report.differences) - _LINES_MAX} more")
