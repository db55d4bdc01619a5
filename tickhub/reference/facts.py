"""What terminals say of their symbols, dated. Sole writer of ``FeedFact``, which only grows."""

from collections.abc import Mapping
from dataclasses import asdict

from django.db import transaction

from tickhub.core.symbols import SymbolFacts
from tickhub.reference.models import Feed, FeedFact


def record(*, facts: Mapping[int, SymbolFacts]) -> int:
    """Append what differs from the newest facts of each feed, given by its id; return how many feeds that were."""
    with transaction.atomic(durable=True):
        # One recorder at a time for each feed: the same change is not appended twice.
        list(Feed.objects.select_for_update().filter(pk__in=list(facts)).order_by("pk"))
        rows = FeedFact.objects.filter(feed_id__in=list(facts)).order_by("feed_id", "-id").distinct("feed_id")
        known = {row.feed_id: SymbolFacts.of(row) for row in rows}
        new = [(feed_id, said) for feed_id, said in facts.items() if known.get(feed_id) != said]
        FeedFact.objects.bulk_create(FeedFact(feed_id=feed_id, **asdict(said)) for feed_id, said in new)
    return len(new)
