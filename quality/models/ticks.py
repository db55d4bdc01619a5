"""Ticks held in quarantine, thresholds that ticks are judged by, and batches not judged by every check."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from tickhub.reference.models import Feed, Instrument, Source


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
        STALE_MS = "STALE_MS", "STALE: milliseconds old at the poll that brought it"
        DISAGREE_FACTOR = "DISAGREE_FACTOR", "DISAGREES: times the larger mean spread of two feeds"
        DISAGREE_FLOOR_POINTS = "DISAGREE_FLOOR_POINTS", "DISAGREES: and so many points"
        GROUP = "GROUP", "the group that the instrument belongs to"

    class Effect(models.TextChoices):
        SET = "SET", "set to the value"
        OFF = "OFF", "the check is off"
        WITHDRAWN = "WITHDRAWN", "as if nothing had been said here"

    instrument = models.ForeignKey(
        Instrument, on_delete=models.PROTECT, null=True, blank=True, related_name="+", help_text="Empty: not for one."
    )
    group = models.CharField(max_length=40, blank=True, help_text="Empty, with no instrument: for every instrument.")
    name = models.CharField(max_length=30, choices=Name.choices)
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


class UnjudgedBatch(models.Model):
    """A stored batch of which checks were left out as one took too long, and what became of making up for it."""

    batch_id = models.BigIntegerField(primary_key=True)
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="+")
    checks = ArrayField(models.CharField(max_length=40), help_text="Flags of the checks left out.")
    found_at = models.DateTimeField(db_default=Now())
    attempts = models.SmallIntegerField(db_default=0)
    next_at = models.DateTimeField(db_default=Now(), help_text="Not tried before.")
    judged_at = models.DateTimeField(null=True)
    failure = models.TextField(blank=True, default="", db_default="", help_text="Why it stays as it is.")

    class Meta:
        ordering = ["-batch_id"]
        verbose_name_plural = "unjudged batches"
        indexes = [
            models.Index(
                fields=["next_at"], condition=models.Q(judged_at=None, failure=""), name="unjudged_batch_waiting"
            )
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(checks__len__gt=0), name="unjudged_batch_names_checks"),
            models.CheckConstraint(
                condition=models.Q(judged_at=None) | models.Q(failure=""), name="unjudged_batch_judged_or_not"
            ),
        ]

    def __str__(self) -> str:
        return f"batch {self.batch_id} without {', '.join(self.checks)}"
