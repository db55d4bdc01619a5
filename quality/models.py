"""Findings, incidents and quarantine."""

from django.db import models
from django.db.models.functions import Now

from tickhub.reference.models import Feed, Source


class Incident(models.Model):
    """Something a person should know; one for each cause, from its first finding until it is resolved."""

    class State(models.TextChoices):
        OPEN = "OPEN"
        ACKNOWLEDGED = "ACKNOWLEDGED"
        RESOLVED = "RESOLVED"

    class Severity(models.TextChoices):
        WARNING = "WARNING"
        ERROR = "ERROR"

    cause = models.CharField(max_length=40, help_text="A quality flag's name, or another cause in capitals.")
    severity = models.CharField(max_length=7, choices=Severity.choices, default=Severity.ERROR, db_default="ERROR")
    source = models.ForeignKey(Source, on_delete=models.PROTECT, null=True, related_name="incidents")
    feed = models.ForeignKey(Feed, on_delete=models.PROTECT, null=True, related_name="incidents")
    state = models.CharField(max_length=12, choices=State.choices, default=State.OPEN)
    opened_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(db_default=Now())
    resolved_at = models.DateTimeField(null=True)
    count = models.BigIntegerField(default=0, help_text="Ticks, or occurrences where no tick is concerned.")
    evidence = models.JSONField(default=dict, help_text="The first finding: batch, key and values.")

    class Meta:
        ordering = ["-last_seen_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["cause", "source", "feed"],
                condition=~models.Q(state="RESOLVED"),
                nulls_distinct=False,
                name="incident_open_once_per_cause",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["OPEN", "ACKNOWLEDGED", "RESOLVED"]),
                name="incident_state_is_known",
            ),
            models.CheckConstraint(
                condition=models.Q(severity__in=["WARNING", "ERROR"]), name="incident_severity_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.cause} ({self.state})"


class Finding(models.Model):
    """What one batch showed of one cause; appended by the batch's transaction, summed up by the keeper."""

    cause = models.CharField(max_length=40)
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="+")
    feed = models.ForeignKey(Feed, on_delete=models.PROTECT, null=True, related_name="+")
    batch_id = models.BigIntegerField()
    count = models.IntegerField()
    evidence = models.JSONField(default=dict)
    found_at = models.DateTimeField(db_default=Now())
    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, null=True, related_name="findings")

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["id"], condition=models.Q(incident=None), name="finding_without_incident")]

    def __str__(self) -> str:
        return f"{self.cause} in batch {self.batch_id}"


class QuarantinedTick(models.Model):
    """A tick refused, whole, until somebody decides; its bytes are in the terminal's clock."""

    class State(models.TextChoices):
        HELD = "HELD"
        RELEASED = "RELEASED"
        REJECTED = "REJECTED"

    feed = models.ForeignKey(Feed, on_delete=models.PROTECT, related_name="+")
    batch_id = models.BigIntegerField()
    time_msc = models.BigIntegerField(help_text="UTC.")
    seq = models.SmallIntegerField()
    position = models.IntegerField(help_text="Place of the tick in its batch.")
    record = models.BinaryField(help_text="The 60 bytes as the terminal gave them.")
    offset_ms = models.IntegerField(help_text="Terminal clock minus UTC.")
    quality = models.IntegerField(help_text="Quality flags: the reasons.")
    state = models.CharField(max_length=8, choices=State.choices, default=State.HELD)
    held_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["batch_id", "position"], name="quarantined_once_per_batch_position"),
            models.CheckConstraint(
                condition=models.Q(state__in=["HELD", "RELEASED", "REJECTED"]),
                name="quarantine_state_is_known",
            ),
        ]
        indexes = [models.Index(fields=["feed", "time_msc"], name="quarantine_by_feed_and_time")]

    def __str__(self) -> str:
        return f"tick {self.time_msc}/{self.seq} of feed {self.feed_id}"


class FeedHour(models.Model):
    """What arrived of a feed in one UTC hour: what its arrival model is learned from."""

    feed = models.ForeignKey(Feed, on_delete=models.PROTECT, related_name="+")
    hour = models.IntegerField(help_text="Hours since 1970, UTC.")
    ticks = models.BigIntegerField()
    usual_gap_ms = models.BigIntegerField(null=True, help_text="The 0.99 quantile of the time between two ticks.")
    session_ms = models.IntegerField(default=0, db_default=0, help_text="Time in session.")
    missing_ms = models.IntegerField(default=0, db_default=0, help_text="Of it, what is missing.")

    class Meta:
        ordering = ["-hour", "feed_id"]
        constraints = [
            models.UniqueConstraint(fields=["feed", "hour"], name="feed_hour_once"),
            models.CheckConstraint(condition=models.Q(ticks__gte=0), name="feed_hour_ticks_not_negative"),
            models.CheckConstraint(
                condition=models.Q(missing_ms__gte=0, missing_ms__lte=models.F("session_ms")),
                name="feed_hour_missing_within_session",
            ),
        ]

    def __str__(self) -> str:
        return f"feed {self.feed_id} in hour {self.hour}"


class Examination(models.Model):
    """Up to where the hours of a source are examined."""

    source = models.OneToOneField(Source, on_delete=models.PROTECT, primary_key=True, related_name="+")
    next_hour = models.IntegerField(help_text="The first UTC hour (since 1970) that is not examined.")

    def __str__(self) -> str:
        return f"source {self.source_id} up to hour {self.next_hour}"


class Gap(models.Model):
    """A stretch of a feed without ticks, within one UTC hour, and why; filled when ticks of it came after all."""

    class Kind(models.TextChoices):
        CLOSED = "CLOSED"
        QUIET = "QUIET"
        STALLED = "STALLED"
        DISCONNECTED = "DISCONNECTED"
        UNKNOWN = "UNKNOWN"

    class State(models.TextChoices):
        OPEN = "OPEN"
        FILLED = "FILLED"

    feed = models.ForeignKey(Feed, on_delete=models.PROTECT, related_name="+")
    from_msc = models.BigIntegerField(help_text="UTC; the stretch is half-open.")
    to_msc = models.BigIntegerField()
    kind = models.CharField(max_length=12, choices=Kind.choices)
    cause = models.CharField(max_length=200)
    state = models.CharField(max_length=6, choices=State.choices, default=State.OPEN)
    found_at = models.DateTimeField(db_default=Now())
    filled_at = models.DateTimeField(null=True)
    backfill_id = models.BigIntegerField(null=True, help_text="The request by which it is asked for again.")

    class Meta:
        ordering = ["-from_msc", "feed_id"]
        constraints = [
            models.UniqueConstraint(fields=["feed", "from_msc"], name="gap_once_per_begin"),
            models.CheckConstraint(condition=models.Q(from_msc__lt=models.F("to_msc")), name="gap_not_empty"),
            models.CheckConstraint(
                condition=models.Q(kind__in=["CLOSED", "QUIET", "STALLED", "DISCONNECTED", "UNKNOWN"]),
                name="gap_kind_is_known",
            ),
            models.CheckConstraint(condition=models.Q(state__in=["OPEN", "FILLED"]), name="gap_state_is_known"),
        ]
        indexes = [
            models.Index(
                fields=["feed", "from_msc"],
                condition=models.Q(state="OPEN", kind__in=["STALLED", "DISCONNECTED", "UNKNOWN"]),
                name="gap_open_and_missing",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} of feed {self.feed_id} from {self.from_msc}"
