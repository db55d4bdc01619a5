"""Findings, the incidents made of them, and whom they are told."""

from django.contrib.postgres.fields import ArrayField
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
    events_noted = models.SmallIntegerField(db_default=0, help_text="Of opened, escalated … those made deliveries of.")

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


class Channel(models.Model):
    """Where incidents are told: a log, mail addresses or a web address."""

    class Kind(models.TextChoices):
        LOG = "LOG", "log"
        EMAIL = "EMAIL", "mail"
        WEBHOOK = "WEBHOOK", "web address"

    name = models.CharField(max_length=60, unique=True)
    kind = models.CharField(max_length=7, choices=Kind.choices)
    address = models.CharField(
        max_length=500, blank=True, help_text="https://host/path, or mail addresses with commas between; none of a log."
    )
    least_severity = models.CharField(
        max_length=7, choices=Incident.Severity.choices, default=Incident.Severity.WARNING
    )
    causes = ArrayField(
        models.CharField(max_length=40), blank=True, default=list, help_text="With commas between. Empty: all causes."
    )
    events = ArrayField(models.CharField(max_length=12), default=list)
    is_on = models.BooleanField(default=True)
    on_since = models.DateTimeField(db_default=Now(), help_text="Of incidents opened before, nothing is told.")
    failures = models.IntegerField(db_default=0, help_text="Messages in a row that were not taken.")
    next_at = models.DateTimeField(db_default=Now(), help_text="Nothing is sent before.")

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=models.Q(kind__in=["LOG", "EMAIL", "WEBHOOK"]), name="channel_kind_known"),
            models.CheckConstraint(
                condition=models.Q(least_severity__in=["WARNING", "ERROR"]), name="channel_severity_known"
            ),
            models.CheckConstraint(condition=~models.Q(name=""), name="channel_has_a_name"),
            models.CheckConstraint(
                condition=models.Q(kind="LOG", address="") | ~models.Q(kind="LOG") & ~models.Q(address=""),
                name="channel_has_an_address_unless_a_log",
            ),
            models.CheckConstraint(
                condition=models.Q(events__contained_by=["OPENED", "ESCALATED", "ACKNOWLEDGED", "RESOLVED"])
                & models.Q(events__len__gt=0),
                name="channel_events_known",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Delivery(models.Model):
    """One event of an incident to be told over one channel, and what became of it."""

    class Event(models.TextChoices):
        OPENED = "OPENED"
        ESCALATED = "ESCALATED"
        ACKNOWLEDGED = "ACKNOWLEDGED"
        RESOLVED = "RESOLVED"

    class State(models.TextChoices):
        WAITING = "WAITING"
        DELIVERED = "DELIVERED"
        FAILED = "FAILED"

    message_id = models.UUIDField(unique=True, help_text="The same each time that it is sent.")
    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="deliveries")
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="deliveries")
    event = models.CharField(max_length=12, choices=Event.choices)
    state = models.CharField(max_length=9, choices=State.choices, default=State.WAITING)
    attempts = models.IntegerField(default=0)
    made_at = models.DateTimeField(db_default=Now())
    next_at = models.DateTimeField(db_default=Now(), help_text="Not sent before; while it is sent, not by another.")
    delivered_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True, default="", help_text="Of the newest attempt.")

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        indexes = [models.Index(fields=["next_at", "id"], condition=models.Q(state="WAITING"), name="delivery_due")]
        constraints = [
            models.UniqueConstraint(fields=["incident", "channel", "event"], name="delivery_once_per_event"),
            models.CheckConstraint(
                condition=models.Q(event__in=["OPENED", "ESCALATED", "ACKNOWLEDGED", "RESOLVED"]),
                name="delivery_event_known",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["WAITING", "FAILED"], delivered_at=None)
                | models.Q(state="DELIVERED", delivered_at__isnull=False),
                name="delivery_delivered_has_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} of incident {self.incident_id} over {self.channel}"
