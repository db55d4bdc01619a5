"""Whose turn it is to be compared: walks over hours of sources, each of which goes on where it was left."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from storage import latest

# An hour (UTC, since 1970) of a source.
Place = tuple[int, int]

# Where each walk was left, and how many runs there were, as Redis remembers them: where it forgets, walks begin again.
_LAST = "tickhub:compared-last"
_RUNS = "tickhub:compared-runs"


def take(walks: Mapping[str, Sequence[Place]], *, most: int) -> Iterator[Place]:
    """Yield the places (ascending) of walks by turns, each place once, at most so many.

    A walk goes on behind its last place, and from its end to its begin. A place is remembered before it is yielded:
    one that takes long, or fails, does not stand in the way of those behind it. Each run begins with another walk, so
    that all of them go on though a run has time for one place only.

    :raises redis.RedisError: if Redis does not answer
    """
    client = latest.client()
    names = list(walks)
    first = int(client.incr(_RUNS)) % len(names)
    waiting = deque((name, _from_last(name, walks[name])) for name in names[first:] + names[:first])
    taken: set[Place] = set()
    while waiting and len(taken) < most:
        name, places = waiting.popleft()
        place = next((one for one in places if one not in taken), None)
        if place is None:
            continue
        waiting.append((name, places))
        taken.add(place)
        client.hset(_LAST, name, f"{place[0]} {place[1]}")
        yield place


def _from_last(name: str, places: Sequence[Place]) -> Iterator[Place]:
    """Yield the places of a walk, those behind its last one first."""
    text = latest.client().hget(_LAST, name)
    hour, source_id = (int(part) for part in str(text).split()) if text else (0, 0)
    begin = bisect_right(places, (hour, source_id)) if text else 0
    yield from places[begin:]
    yield from places[:begin]
