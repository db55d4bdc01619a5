"""Examined hours of feeds, their gaps and certificates, and hours that are to be looked at again."""

from django.db import models
from django.db.models.functions import Now

from tickhub.reference.models import Feed, Source


class FeedHour(models.Model):
    """What arrived of a feed in one UTC hour: what its arrival model is learned from."""

    feed = models.ForeignKey(Feed, on_delete=models.PROTECT, related_name="+")
    hour = models.IntegerField(help_text="Hours since 1970, UTC.")
    ticks = models.BigIntegerField()
    usual_gap_ms = models.BigIntegerField(null=True, help_text="The 0.99 quantile of the time between two ticks.")
    session_ms = models.IntegerField(default=0, db_default=0, help_text="Time in session.")
    missing_ms = models.IntegerField(default=0, db_default=0, help_text="Of it, what is missing.")
    calendar = models.CharField(max_length=100, blank=True, db_default="", help_text="By which it was examined.")

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


class FeedAgreement(models.Model):
    """How well the prices of two feeds of one instrument agreed in one UTC hour: see :mod:`quality.agreement`."""

    feed = models.ForeignKey(Feed, on_delete=models.PROTECT, related_name="+")
    other = models.ForeignKey(Feed, on_delete=models.PROTECT, related_name="+")
    hour = models.IntegerField(help_text="Hours since 1970, UTC.")
    compared_s = models.IntegerField(help_text="Seconds in which both had a price.")
    disagreeing_s = models.IntegerField()
    worst_points = models.FloatField(help_text="The largest difference.")
    band_points = models.FloatField(null=True, help_text="They disagree beyond it; empty: the check is off.")
    first_msc = models.BigIntegerField(null=True, help_text="The first second in which they disagree, UTC.")

    class Meta:
        ordering = ["-hour", "feed_id", "other_id"]
        constraints = [
            models.UniqueConstraint(fields=["feed", "other", "hour"], name="feed_agreement_once"),
            models.CheckConstraint(condition=models.Q(feed__lt=models.F("other")), name="feed_agreement_of_two"),
            models.CheckConstraint(
                condition=models.Q(disagreeing_s__gte=0, disagreeing_s__lte=models.F("compared_s")),
                name="feed_agreement_within_compared",
            ),
        ]

    def __str__(self) -> str:
        return f"feeds {self.feed_id} and {self.other_id} in hour {self.hour}"


class DueHours(models.Model):
    """Hours of a source, or of one feed, that are to be looked at again, as something about them has changed."""

    class Work(models.TextChoices):
        EXAMINE = "EXAMINE", "look for gaps again"
        CERTIFY = "CERTIFY", "compare with the certificate"

    work = models.CharField(max_length=7, choices=Work.choices)
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="+")
    feed = models.ForeignKey(Feed, on_delete=models.PROTECT, null=True, related_name="+")
    from_hour = models.IntegerField(help_text="Hours since 1970, UTC.")
    to_hour = models.IntegerField(help_text="The first hour behind them.")
    noted_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "due hours"
        constraints = [
            models.CheckConstraint(condition=models.Q(from_hour__lt=models.F("to_hour")), name="due_hours_not_empty"),
            models.CheckConstraint(
                condition=models.Q(work="EXAMINE", feed=None) | models.Q(work="CERTIFY", feed__isnull=False),
                name="due_hours_of_a_source_or_a_feed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.work} hours {self.from_hour} to {self.to_hour}"


class Certification(models.Model):
    """Up to which batch those that reach certified hours of a source have been noted."""

    source = models.OneToOneField(Source, on_delete=models.PROTECT, primary_key=True, related_name="+")
    through_batch_id = models.BigIntegerField()

    def __str__(self) -> str:
        return f"source {self.source_id} through batch {self.through_batch_id}"
