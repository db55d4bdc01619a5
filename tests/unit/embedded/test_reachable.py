"""Addresses that cannot be read are refused without showing any part of a password."""

import pytest

from tickhub.core.errors import UsageError
from tickhub.embedded import reachable


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:se/cret@host:1/x",
        "postgresql://me:se@cret@host:1/x",
        "mysql://me:secret@host/x",
        "host=127.0.0.1 password=secret",
        "postgresql://me:secret@host:1/x?no_such_option=1",
        "",
    ],
)
def test_an_unreadable_database_url_is_never_shown(url: str) -> None:
    with pytest.raises(UsageError) as refusal:
        reachable.check_database(url)

    assert str(refusal.value).startswith("DATABASE_URL cannot be read: expected postgresql://")
    assert "cret" not in str(refusal.value)


@pytest.mark.parametrize("url", ["redis://:se/cret@host:1/0", "http://:secret@host", "secret"])
def test_an_unreadable_redis_url_is_never_shown(url: str) -> None:
    with pytest.raises(UsageError) as refusal:
        reachable.check_redis(url)

    assert str(refusal.value).startswith("REDIS_URL cannot be read: expected redis://")
    assert "cret" not in str(refusal.value)
