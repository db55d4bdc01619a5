"""Scores of a feed's hour, 0 to 100: a weighted mean of parts, each the share that nothing speaks against. Pure.

======================  ======  =====================================================================================
part                    weight  share of
======================  ======  =====================================================================================
completeness            40      the session's time that is not missing (:mod:`quality.completeness`)
validity                30      the ticks, held ones included, without a flag against their values
timeliness              20      the stored ticks that came in order and by the terminal's clock, neither LATE nor FUTURE
uniqueness              10      the captured ticks that were neither duplicates nor collisions of a key
agreement               20      the seconds compared with another source in which the prices agree
======================  ======  =====================================================================================

A part of which nothing is known (no tick, no time in session) is None and weighs nothing. Where no tick was stored or
held and no time was in session there is no score: a closed market is neither good nor bad.
"""

from dataclasses import dataclass

from tickhub.core.flags import INFORMATIONAL, Flag

WEIGHTS = {"completeness": 40, "validity": 30, "timeliness": 20, "uniqueness": 10, "agreement": 20}
# Flags of the arrival, not of the values; AMBIGUOUS_TIME says that the tick's place is unsure.
UNTIMELY = Flag.LATE | Flag.FUTURE | Flag.STALE | Flag.AMBIGUOUS_TIME
COLLIDED = Flag.COLLISION
# UNJUDGED among them: what no check has looked at is not known to be valid.
INVALID = ~(UNTIMELY | COLLIDED | INFORMATIONAL)


@dataclass(frozen=True, slots=True)
class Counts:
    """What one hour of a feed shows. ``session_ms`` is None where the hour was not examined.

    ``stored`` ticks are those of the table; ``invalid``, ``untimely`` and ``collided`` count those of them with such a
    flag; ``held`` ones are in quarantine, ``duplicates`` were dropped as captured twice; ``compared_s`` counts the
    seconds compared with feeds of other sources, ``disagreeing_s`` those of them in which they disagree.
    """

    stored: int = 0
    invalid: int = 0
    untimely: int = 0
    collided: int = 0
    held: int = 0
    duplicates: int = 0
    session_ms: int | None = None
    missing_ms: int = 0
    compared_s: int = 0
    disagreeing_s: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """The score, 0 to 100, and its parts, 0 to 1; None where nothing is known."""

    value: float | None
    parts: dict[str, float | None]


def score(counts: Counts) -> Score:
    """Score one hour, or the sum of several."""
    judged, captured = counts.stored + counts.held, counts.stored + counts.held + counts.duplicates
    parts = {
        "completeness": _share(counts.missing_ms, counts.session_ms or 0),
        "validity": _share(counts.invalid + counts.held, judged),
        "timeliness": _share(counts.untimely, counts.stored),
        "uniqueness": _share(counts.duplicates + counts.collided, captured),
        "agreement": _share(counts.disagreeing_s, counts.compared_s),
    }
    known = {name: part for name, part in parts.items() if part is not None}
    weight = sum(WEIGHTS[name] for name in known)
    total = sum(WEIGHTS[name] * part for name, part in known.items())
    return Score(100 * total / weight if weight else None, parts)


def add(several: list[Counts]) -> Counts:
    """Add hours up; of time only the examined ones."""
    of_ticks = ("stored", "invalid", "untimely", "collided", "held", "duplicates")
    names = (*of_ticks, "missing_ms", "compared_s", "disagreeing_s")
    sessions = [counts.session_ms for counts in several if counts.session_ms is not None]
    return Counts(
        **{name: sum(getattr(counts, name) for counts in several) for name in names},
        session_ms=sum(sessions) if sessions else None,
    )


def _share(bad: int, of: int) -> float | None:
    return 1 - bad / of if of else None
