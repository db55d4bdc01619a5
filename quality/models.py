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
    escalated_at = models.DateTimeField(null=True, help_text="When nobody had acknowledged it for too long.")
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.CharField(max_length=200, blank=True, db_default="")
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.CharField(max_length=200, blank=True, db_default="", help_text="Empty: by itself.")
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
            models.CheckConstraint(
                condition=models.Q(acknowledged_at=None, acknowledged_by="")
                | models.Q(acknowledged_at__isnull=False) & ~models.Q(acknowledged_by=""),
                name="incident_acknowledged_by_somebody",
            ),
            models.CheckConstraint(
                condition=models.Q(resolved_by="") | models.Q(resolved_at__isnull=False),
                name="incident_resolved_by_somebody_is_resolved",
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


class Certificate(models.Model):
    """The signed proof of one hour of a feed; only grows. What changes an hour later gets a further revision."""

    feed = models.ForeignKey(Feed, on_delete=models.PROTECT, related_name="+")
    number = models.IntegerField(help_text="Of its feed; each names the one before it.")
    revision = models.IntegerField(help_text="Of its period: 1, and more where what is stored has changed since.")
    from_msc = models.BigIntegerField(help_text="UTC.")
    to_msc = models.BigIntegerField(help_text="UTC, not included.")
    is_whole = models.BooleanField(help_text="Nothing of the period is missing, waiting, failed or different.")
    made_at = models.DateTimeField(db_default=Now())
    through_batch_id = models.BigIntegerField(help_text="The newest batch by then: later ones may change older hours.")
    document = models.TextField(help_text="The certificate with key and signature, in canonical form.")
    sha256 = models.CharField(max_length=64, help_text="Of the document: what the next certificate refers to.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["feed", "number"], name="certificate_once_per_number"),
            models.UniqueConstraint(fields=["feed", "from_msc", "revision"], name="certificate_once_per_revision"),
            models.CheckConstraint(
                condition=models.Q(number__gte=1, revision__gte=1, from_msc__lt=models.F("to_msc")),
                name="certificate_has_number_and_period",
            ),
        ]

    def __str__(self) -> str:
        return f"certificate {self.number} of feed {self.feed_id}"
