"""The latest tick of each feed in Redis: an entry gives way to none older, whatever order batches commit in."""

import logging
from dataclasses import dataclass

import numpy as np
import redis
from django.conf import settings
from django.db import connection

from storage.packing import Rows
from tickhub.core.batch import Batch
from tickhub.core.ticks import Mask

logger = logging.getLogger(__name__)

_KEY = "tickhub:latest"
# An entry is "time_msc seq bid ask last volume quality"; compared and set in one step, so that no writer overtakes.
# The same tick may have come to other flags: what the refresh reads of it in the table stands at last.
_SET_UNLESS_OLDER = """
for i = 1, #ARGV, 4 do
  local old = redis.call('HGET', KEYS[1], ARGV[i])
  local is_older = false
  if old then
    local time, seq = string.match(old, '^(%-?%d+) (%d+) ')
    time, seq = tonumber(time), tonumber(seq)
    is_older = time > tonumber(ARGV[i + 1]) or (time == tonumber(ARGV[i + 1]) and seq > tonumber(ARGV[i + 2]))
  end
  if not is_older then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 3]) end
end
"""


@dataclass(frozen=True, slots=True)
class LatestTick:
    """The newest stored tick of one feed."""

    feed_id: int
    time_msc: int
    seq: int
    bid: float
    ask: float
    last: float
    volume: float
    quality: int


_client: "redis.Redis | None" = None


def client() -> redis.Redis:
    """Return this process's connection pool to Redis."""
    global _client  # one pool for the process, made on first use
    if _client is None:
        _client = redis.Redis.from_url(
            settings.REDIS_URL, decode_responses=True, socket_timeout=1, socket_connect_timeout=1
        )
    return _client


def forget_client() -> None:
    """Make the next use connect anew, after the address changed."""
    global _client  # as above
    _client = None


def newest_of(batch: Batch, *, is_stored: Mask, quality: np.typing.NDArray[np.int32]) -> list[LatestTick]:
    """Return the newest stored tick of each feed in a batch."""
    found = []
    # Without late ticks a part is in key order, and its last tick the newest.
    is_in_order = bool(is_stored.all()) and not batch.late.any()
    for part, place, _ in batch.slices():
        best = place.stop - 1 if is_in_order else _newest(batch, place, is_stored)
        if best < place.start:
            continue
        tick = batch.ticks[best]
        found.append(_latest(tick, feed_id=part.feed_id, seq=int(batch.seq[best]), quality=int(quality[best])))
    return found


def _newest(batch: Batch, place: slice, is_stored: Mask) -> int:
    """Return the place of the newest stored tick of a part, -1 where none is stored."""
    stored = np.flatnonzero(is_stored[place]) + place.start
    if len(stored) == 0:
        return -1
    times = batch.ticks["time_msc"][stored]
    newest = stored[times == times.max()]
    return int(newest[batch.seq[newest].argmax()])


def newest_rows(rows: Rows) -> list[LatestTick]:
    """Return the newest of some stored rows of each feed."""
    newest: dict[int, LatestTick] = {}
    for place, (feed_id, seq, quality) in enumerate(
        zip(rows.feed_id.tolist(), rows.seq.tolist(), rows.quality.tolist(), strict=True)
    ):
        found = _latest(rows.ticks[place], feed_id=feed_id, seq=seq, quality=quality)
        known = newest.get(feed_id)
        if known is None or (known.time_msc, known.seq) < (found.time_msc, found.seq):
            newest[feed_id] = found
    return list(newest.values())


def _latest(tick: np.void, *, feed_id: int, seq: int, quality: int) -> LatestTick:
    return LatestTick(
        feed_id=feed_id,
        time_msc=int(tick["time_msc"]),
        seq=seq,
        bid=float(tick["bid"]),
        ask=float(tick["ask"]),
        last=float(tick["last"]),
        volume=float(tick["volume_real"]),
        quality=quality,
    )


def publish(ticks: list[LatestTick]) -> None:
    """Set the entries that are not older than what Redis holds.

    :raises redis.RedisError: if Redis does not answer; the table has the truth and the refresh repairs the cache
    """
    if not ticks:
        return
    args: list[str | int] = []
    for tick in ticks:
        text = f"{tick.time_msc} {tick.seq} {tick.bid!r} {tick.ask!r} {tick.last!r} {tick.volume!r} {tick.quality}"
        args += [tick.feed_id, tick.time_msc, tick.seq, text]
    client().eval(_SET_UNLESS_OLDER, 1, _KEY, *args)


def offer(ticks: list[LatestTick]) -> None:
    """Set the entries as :func:`publish` does; where Redis does not answer, the refresh sets them once it does."""
    try:
        publish(ticks)
    except redis.RedisError as error:
        logger.warning(
            "latest ticks not cached", extra={"feeds": [tick.feed_id for tick in ticks], "error": str(error)}
        )


def forget(feed_ids: list[int]) -> None:
    """Drop the entries of feeds, newer or not.

    :raises redis.RedisError: if Redis does not answer
    """
    if feed_ids:
        client().hdel(_KEY, *(str(feed_id) for feed_id in feed_ids))


def read(feed_ids: list[int]) -> dict[int, LatestTick]:
    """Return the cached entries of feeds.

    :raises redis.RedisError: if Redis does not answer
    """
    if not feed_ids:
        return {}
    found = {}
    for feed_id, text in zip(feed_ids, client().hmget(_KEY, [str(feed_id) for feed_id in feed_ids]), strict=True):
        if text is not None:
            time_msc, seq, bid, ask, last, volume, quality = str(text).split(" ")
            found[feed_id] = LatestTick(
                feed_id,
                int(time_msc),
                int(seq),
                float(bid),
                float(ask),
                float(last),
                float(volume),
                int(quality),
            )
    return found


def from_table(feed_ids: list[int]) -> dict[int, LatestTick]:
    """Return the newest stored tick of feeds from PostgreSQL."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT f, t.time_msc, t.seq, coalesce(t.bid, 0), coalesce(t.ask, 0), coalesce(t.last, 0),"
            " coalesce(t.volume_real, 0), coalesce(t.quality, 0) FROM unnest(%s::int2[]) AS f"
            " CROSS JOIN LATERAL (SELECT * FROM tick WHERE feed_id = f ORDER BY time_msc DESC, seq DESC LIMIT 1) t",
            [feed_ids],
        )
        return {row[0]: LatestTick(*row) for row in cursor.fetchall()}
