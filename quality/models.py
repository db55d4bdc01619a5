"""Findings, incidents and whom they are told, quarantine, certificates, thresholds, examined hours and gaps."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

# A table of its own module; Django looks for it here.
from quality.unjudged_batch import UnjudgedBatch as UnjudgedBatch
from tickhub.reference.models import Feed, Instrument, Source


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
    decided_at = models.DateTimeField(null=True, help_text="When somebody decided last; the audit ledger has them all.")
    decided_by = models.CharField(max_length=200, blank=True, default="", db_default="")
    decision = models.CharField(max_length=500, blank=True, default="", db_default="", help_text="The reason given.")
    stored_seq = models.SmallIntegerField(
        null=True, help_text="The seq under which a released tick stands in the table: another where its own was taken."
    )

    class Meta:
        ordering = ["-id"]
        permissions = [("release_quarantinedtick", "Can release, reject and reopen quarantined ticks")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(decided_at=None) | (~models.Q(decided_by="") & ~models.Q(decision="")),
                name="quarantine_decision_says_who_and_why",
            ),
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


class Threshold(models.Model):
    """A threshold of a check from its moment on, for every instrument, a group or one; appended, never changed."""

    class Name(models.TextChoices):
        SPREAD_FACTOR = "SPREAD_FACTOR", "SPREAD_OUTLIER: times the mean spread before"
        SPREAD_FLOOR_POINTS = "SPREAD_FLOOR_POINTS", "SPREAD_OUTLIER: and so many points"
        JUMP_FACTOR = "JUMP_FACTOR", "JUMP_OUTLIER and REVERT: times the mean move before"
        JUMP_FLOOR_POINTS = "JUMP_FLOOR_POINTS", "JUMP_OUTLIER and REVERT: and so many points"
        REVERT_PERCENT = "REVERT_PERCENT", "REVERT: percent of the jump that may be left"
        STUCK_MS = "STUCK_MS", "STUCK: milliseconds over which 65 ticks are equal"
        GRID_POINTS = "GRID_POINTS", "OFF_GRID: the step of prices in points"
        BAND_LOW_POINTS = "BAND_LOW_POINTS", "OUTSIDE_BAND: lowest price in points"
        BAND_HIGH_POINTS = "BAND_HIGH_POINTS", "OUTSIDE_BAND: highest price in points"
        GROUP = "GROUP", "the group that the instrument belongs to"

    class Effect(models.TextChoices):
        SET = "SET", "set to the value"
        OFF = "OFF", "the check is off"
        WITHDRAWN = "WITHDRAWN", "as if nothing had been said here"

    instrument = models.ForeignKey(
        Instrument, on_delete=models.PROTECT, null=True, blank=True, related_name="+", help_text="Empty: not for one."
    )
    group = models.CharField(max_length=40, blank=True, help_text="Empty, with no instrument: for every instrument.")
    name = models.CharField(max_length=20, choices=Name.choices)
    effect = models.CharField(max_length=9, choices=Effect.choices, default=Effect.SET)
    value = models.BigIntegerField(null=True, blank=True, help_text="0 means 0.")
    set_at = models.DateTimeField(db_default=Now())
    actor = models.CharField(max_length=200)
    reason = models.CharField(max_length=500)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(effect__in=["SET", "OFF", "WITHDRAWN"]), name="threshold_effect_is_known"
            ),
            models.CheckConstraint(
                condition=models.Q(name="GROUP", value=None)
                | ~models.Q(name="GROUP") & models.Q(effect="SET", value__isnull=False)
                | ~models.Q(name="GROUP") & ~models.Q(effect="SET") & models.Q(value=None),
                name="threshold_has_a_value_where_it_is_set",
            ),
            models.CheckConstraint(
                condition=models.Q(name="GROUP", instrument__isnull=False)
                & ~models.Q(group="")
                & ~models.Q(effect="OFF")
                | ~models.Q(name="GROUP") & (models.Q(instrument=None) | models.Q(group="")),
                name="threshold_is_for_one_scope",
            ),
            models.CheckConstraint(
                condition=~models.Q(actor="") & ~models.Q(reason=""), name="threshold_says_who_and_why"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.instrument or self.group or 'every instrument'}"


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
