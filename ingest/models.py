"""The inbox, the cursors and the leases. A batch's bytes stand in ``batch_payload``, made by migration."""

from django.contrib.postgres.indexes import GistIndex
from django.db import models
from django.db.models.functions import Least, Now

from tickhub.reference.models import Feed, Source

# The time that a batch's ticks span. A period is asked for where both of its ends bound the search, as otherwise a read
# of old history passes over all that was captured since. The bound keeps a nonsensical time from refusing the batch.
LATEST_SPAN_MSC = 1 << 62
SPAN = models.Func(
    Least("first_msc", LATEST_SPAN_MSC), Least("last_msc", LATEST_SPAN_MSC), models.Value("[]"), function="int8range"
)


class Batch(models.Model):
    """What one poll of one source brought; kept as long as its ticks."""

    class Status(models.TextChoices):
        WAITING = "WAITING"
        STORED = "STORED"
        FAILED = "FAILED"

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="batches")
    status = models.CharField(max_length=7, choices=Status.choices, default=Status.WAITING)
    poll_msc = models.BigIntegerField(help_text="The terminal's time of the poll, UTC.")
    captured_at = models.DateTimeField(db_default=Now(), help_text="Host time at which the poll's reads returned.")
    captured_on = models.DateField(help_text="The partition of batch_payload that holds the bytes.")
    tick_count = models.IntegerField()
    first_msc = models.BigIntegerField(null=True, help_text="Earliest tick, UTC.")
    last_msc = models.BigIntegerField(null=True, help_text="Latest tick, UTC.")
    parts = models.JSONField(help_text="One entry for each feed: cursors, counts and digests by UTC hour.")
    outcome = models.JSONField(null=True, help_text="What became of the ticks, by feed and UTC hour.")
    publish_count = models.SmallIntegerField(default=0)
    attempt_count = models.SmallIntegerField(db_default=0, help_text="Attempts without an outcome, once doubted.")
    attempted_publication = models.SmallIntegerField(
        db_default=0, help_text="The publication tried last, once doubted."
    )
    next_publish_at = models.DateTimeField()
    stored_at = models.DateTimeField(null=True)
    failure = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "batches"
        indexes = [
            models.Index(
                fields=["next_publish_at", "id"],
                condition=models.Q(status="WAITING"),
                name="batch_waiting_by_publish",
            ),
            models.Index(fields=["id"], condition=models.Q(status="WAITING"), name="batch_waiting_by_id"),
            models.Index(fields=["source", "last_msc"], name="batch_by_source_and_time"),
            GistIndex(SPAN, condition=models.Q(first_msc__isnull=False), name="batch_by_span"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=["WAITING", "STORED", "FAILED"]), name="batch_status_is_known"
            ),
            models.CheckConstraint(
                condition=~models.Q(status="STORED") | models.Q(stored_at__isnull=False, outcome__isnull=False),
                name="batch_stored_has_outcome",
            ),
            models.CheckConstraint(
                condition=models.Q(tick_count__gte=0, tick_count__lte=65_536),
                name="batch_ticks_within_bounds",
            ),
        ]

    def __str__(self) -> str:
        return f"batch {self.pk}"


class Cursor(models.Model):
    """Where the next poll of a feed starts, in the terminal's own clock."""

    feed = models.OneToOneField(Feed, on_delete=models.PROTECT, primary_key=True, related_name="cursor")
    epoch_id = models.BigIntegerField()
    last_msc = models.BigIntegerField(help_text="Newest millisecond captured, terminal clock.")
    taken = models.IntegerField(help_text="Ticks captured in that millisecond.")
    last_batch_id = models.BigIntegerField(help_text="The batch that moved it last; it holds the context.")
    version = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(taken__gte=0), name="cursor_taken_not_negative")]

    def __str__(self) -> str:
        return f"cursor of feed {self.feed_id}"


class ConnectionMinute(models.Model):
    """How a source's connection was in one minute; the times add up to what was observed of it."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="connection_minutes")
    minute_at = models.DateTimeField()
    polls = models.IntegerField(default=0)
    polls_ok = models.IntegerField(default=0, help_text="Polls in which no read failed.")
    connected_ms = models.IntegerField(default=0)
    ipc_lost_ms = models.IntegerField(default=0, help_text="The terminal did not answer.")
    link_lost_ms = models.IntegerField(default=0, help_text="The terminal answered, without its broker.")
    hung_ms = models.IntegerField(default=0, help_text="Calls that hung; a poller that died, or hung, without an end.")
    polls_with_ticks = models.IntegerField(
        db_default=0, help_text="Polls with new ticks whose age tells something of the terminal's clock."
    )
    smallest_age_ms = models.BigIntegerField(null=True, help_text="Of the newest tick of each such poll, at the poll.")
    median_age_ms = models.BigIntegerField(null=True)
    link = models.CharField(max_length=13, help_text="The newest state.")
    circuit = models.CharField(max_length=9, help_text="The newest state of the circuit breaker.")
    failures = models.IntegerField(default=0, help_text="Tries to connect that failed in a row.")

    class Meta:
        ordering = ["-minute_at", "source_id"]
        constraints = [
            models.UniqueConstraint(fields=["source", "minute_at"], name="connection_minute_once_per_source"),
            models.CheckConstraint(
                condition=models.Q(polls__gte=models.F("polls_ok"), polls_ok__gte=0),
                name="connection_polls_ok_are_polls",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source_id} at {self.minute_at:%Y-%m-%d %H:%M}"


class Lease(models.Model):
    """Who may poll a source; a higher fence shuts out whoever holds a lower one."""

    source = models.OneToOneField(Source, on_delete=models.PROTECT, primary_key=True, related_name="lease")
    fence = models.BigIntegerField(default=0)
    holder = models.CharField(max_length=200, blank=True, default="")
    expires_at = models.DateTimeField()
    covered_msc = models.BigIntegerField(
        null=True,
        help_text="UTC; up to here passes over the past have found nothing new. Null before the first of them.",
    )

    def __str__(self) -> str:
        return f"lease of source {self.source_id}"


class Backfill(models.Model):
    """A request to read a stretch of a feed's history again and to capture what is missing."""

    class State(models.TextChoices):
        OPEN = "OPEN", "open"
        DONE = "DONE", "done"
        FAILED = "FAILED", "failed"

    feed = models.ForeignKey(Feed, on_delete=models.PROTECT, related_name="backfills")
    from_msc = models.BigIntegerField(help_text="UTC; the period is half-open.")
    to_msc = models.BigIntegerField()
    reason = models.CharField(max_length=200)
    state = models.CharField(max_length=6, choices=State.choices, default=State.OPEN)
    captured = models.BigIntegerField(default=0, help_text="Ticks that were missing.")
    gone = models.BigIntegerField(default=0, help_text="Captured ticks that the source no longer shows.")
    failure = models.TextField(blank=True, default="")
    requested_at = models.DateTimeField(db_default=Now())
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["feed"], condition=models.Q(state="OPEN"), name="backfill_open")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(from_msc__lt=models.F("to_msc")), name="backfill_period_not_empty"
            )
        ]

    def __str__(self) -> str:
        return f"backfill {self.pk} of feed {self.feed_id}"


class AgentToken(models.Model):
    """What lets an agent send one source's ticks; only the SHA-256 of the token is kept."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="agent_tokens")
    sha256 = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(db_default=Now())
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["source_id", "id"]
        constraints = [
            models.CheckConstraint(condition=models.Q(sha256__regex="^[0-9a-f]{64}$"), name="agent_token_is_sha256"),
        ]

    def __str__(self) -> str:
        return f"agent token {self.pk} of {self.source}"


class Reread(models.Model):
    """What somebody wants to know from an agent's terminal; the bridge answers it and the asker deletes it."""

    class Kind(models.TextChoices):
        SETTLE = "SETTLE", "compare the past first"
        HOURS = "HOURS", "count and digest of each UTC hour"
        ROWS = "ROWS", "the ticks"

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="rereads")
    feed = models.ForeignKey(Feed, on_delete=models.CASCADE, null=True, related_name="rereads")
    kind = models.CharField(max_length=6, choices=Kind.choices)
    from_msc = models.BigIntegerField(default=0, help_text="UTC.")
    to_msc = models.BigIntegerField(default=0, help_text="UTC, excluded.")
    created_at = models.DateTimeField(db_default=Now())
    answered_at = models.DateTimeField(null=True)
    hours = models.JSONField(null=True, help_text="Digest by UTC hour.")
    rows = models.BinaryField(null=True, help_text="Ticks in the terminal's clock.")
    failure = models.JSONField(null=True, help_text="The terminal's error: code and text.")

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["source", "id"], condition=models.Q(answered_at=None), name="reread_waiting"),
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(kind__in=["SETTLE", "HOURS", "ROWS"]), name="reread_kind_known"),
            models.CheckConstraint(
                condition=models.Q(kind="SETTLE") | models.Q(feed__isnull=False), name="reread_of_a_feed"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk} of {self.source}"
