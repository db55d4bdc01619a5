"""Scores: each part and the whole by hand."""

import pytest

from quality import scores
from quality.scores import Counts
from tickhub.core.flags import Flag


def test_a_perfect_hour_has_a_hundred() -> None:
    found = scores.score(Counts(stored=100, session_ms=3_600_000, compared_s=50))

    assert found.value == 100
    assert found.parts == {"completeness": 1, "validity": 1, "timeliness": 1, "uniqueness": 1, "agreement": 1}


def test_every_part_lowers_the_score_by_its_weight() -> None:
    # 25 % missing, 10 of 100 invalid, 5 of 98 untimely, 4 of 102 twice, 1 second of 10 in which another source differs.
    counts = Counts(
        stored=98,
        invalid=8,
        untimely=5,
        collided=2,
        held=2,
        duplicates=2,
        session_ms=3_600_000,
        missing_ms=900_000,
        compared_s=10,
        disagreeing_s=1,
    )

    found = scores.score(counts)

    assert found.parts == pytest.approx(
        {"completeness": 0.75, "validity": 0.9, "timeliness": 93 / 98, "uniqueness": 98 / 102, "agreement": 0.9}
    )
    assert found.value == pytest.approx((30 + 27 + 20 * 93 / 98 + 10 * 98 / 102 + 18) / 1.2)


def test_what_is_not_known_weighs_nothing() -> None:
    found = scores.score(Counts(stored=10, invalid=5))

    assert found.parts["completeness"] is None
    assert found.value == pytest.approx(100 * (30 * 0.5 + 20 + 10) / 60)


def test_a_dead_feed_in_session_has_nothing_and_a_closed_market_no_score() -> None:
    assert scores.score(Counts(session_ms=3_600_000, missing_ms=3_600_000)).value == 0
    assert scores.score(Counts(session_ms=0)).value is None


def test_hours_are_added_up_and_those_not_examined_add_no_time() -> None:
    total = scores.add([Counts(stored=1, session_ms=10, missing_ms=4), Counts(stored=2, held=3), Counts(session_ms=5)])

    assert total == Counts(stored=3, held=3, session_ms=15, missing_ms=4)
    assert scores.add([]).session_ms is None


def test_each_flag_counts_in_one_part_or_is_information() -> None:
    kinds = (scores.UNTIMELY, scores.COLLIDED, scores.INVALID)

    assert {flag.name for flag in Flag if not any(flag & kind for kind in kinds)} == {"REPEAT", "LOCKED"}
    assert all(sum(bool(flag & kind) for kind in kinds) <= 1 for flag in Flag)
