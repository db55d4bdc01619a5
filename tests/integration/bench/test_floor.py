"""The floor of latency is measured on the throw-away database, and leaves nothing in it."""

import pytest

from tickhub.bench import floor, scratch


@pytest.mark.usefixtures("database")
def test_every_measured_batch_has_its_time_and_nothing_stays() -> None:
    with scratch.databases():
        scratch.renew()
        found_ms = floor.measure(rate=1_000, batches=5)
        with scratch.connect() as connection:
            tables = connection.execute("SELECT relname FROM pg_class WHERE relname LIKE 'floor%'").fetchall()

    assert found_ms.shape == (5,)
    assert (found_ms > 0).all()
    assert tables == []
