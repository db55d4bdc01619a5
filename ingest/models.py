"""The inbox, the cursors and the leases. A batch's bytes stand in ``batch_payload``, made by migration."""

from django.db import models
from django.db.models.functions import Now

from tickhub.reference.models import Feed, Source


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


class Lease(models.Model):
    """Who may poll a source; a higher fence shuts out whoever holds a lower one."""

    source = models.OneToOneField(Source, on_delete=models.PROTECT, primary_key=True, related_name="lease")
    fence = models.BigIntegerField(default=0)
    holder = models.CharField(max_length=200, blank=True, default="")
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"lease of source {self.source_id}"


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
