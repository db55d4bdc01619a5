"""Instruments, sources, feeds and the clocks of sources."""

from django.db import models
from django.db.models.functions import Now


class Instrument(models.Model):
    """What is traded, under its canonical code."""

    class PriceBasis(models.TextChoices):
        QUOTE = "QUOTE", "bid and ask"
        LAST = "LAST", "last price"

    code = models.CharField(max_length=30, unique=True)
    digits = models.PositiveSmallIntegerField(help_text="Decimals of a price; the point is 10^-digits.")
    price_basis = models.CharField(max_length=5, choices=PriceBasis.choices, default=PriceBasis.QUOTE)
    negative_prices = models.BooleanField(default=False, help_text="Prices may fall below zero (oil has).")
    calendar = models.ForeignKey(
        "SessionCalendar",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="instruments",
        help_text="When it can be traded; empty: not known, it is never taken for closed.",
    )
    calendar_by = models.CharField(
        max_length=8, db_default="", default="", blank=True, help_text="What chose the calendar: rule or operator."
    )

    class Meta:
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(condition=models.Q(digits__lte=8), name="instrument_digits_at_most_8"),
            models.CheckConstraint(condition=~models.Q(code=""), name="instrument_code_not_empty"),
        ]

    def __str__(self) -> str:
        return self.code


class Source(models.Model):
    """One place ticks come from: a terminal and account, a recording, an agent."""

    name = models.CharField(max_length=500, unique=True)
    spec = models.TextField(help_text="The SPEC it was last started with.")
    scheme = models.CharField(max_length=10)
    server_name = models.CharField(max_length=200, blank=True)
    clock = models.CharField(max_length=60, default="UTC", help_text="The rule of the terminal's clock, as in clock=.")
    is_replay = models.BooleanField(default=False)
    priority = models.PositiveSmallIntegerField(default=100, help_text="The lowest number is preferred.")
    playback_origin_msc = models.BigIntegerField(null=True, help_text="Host time at which playback began.")
    playback_start_msc = models.BigIntegerField(null=True, help_text="Recorded time shown at the origin.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["priority", "name"]
        constraints = [models.CheckConstraint(condition=~models.Q(name=""), name="source_name_not_empty")]

    def __str__(self) -> str:
        return self.name


class Feed(models.Model):
    """One source's series of one instrument, under the source's own symbol."""

    # Two bytes: the id stands in every tick row and in every entry of its index.
    id = models.SmallAutoField(primary_key=True)
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="feeds")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="feeds")
    symbol = models.CharField(max_length=30)
    mapped_by = models.CharField(
        max_length=60, db_default="the symbol itself", help_text="What says that the symbol is this instrument."
    )
    begins_msc = models.BigIntegerField(help_text="First millisecond (UTC) that capture answers for.")

    class Meta:
        ordering = ["source_id", "symbol"]
        constraints = [models.UniqueConstraint(fields=["source", "symbol"], name="feed_once_per_source")]

    def __str__(self) -> str:
        return f"{self.symbol} of {self.source}"


class FeedFact(models.Model):
    """What a terminal said of a feed's symbol from a time on; appended when it says something else, never changed."""

    feed = models.ForeignKey(Feed, on_delete=models.PROTECT, related_name="facts")
    seen_at = models.DateTimeField(db_default=Now())
    digits = models.IntegerField()
    point = models.FloatField()
    chart_mode = models.IntegerField(help_text="0: charts by bid, 1: by the last price.")
    trade_mode = models.IntegerField()
    trade_tick_size = models.FloatField()
    trade_contract_size = models.FloatField()
    currency_base = models.TextField(blank=True)
    currency_profit = models.TextField(blank=True)
    path = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["feed", "-id"], name="fact_by_feed")]

    def __str__(self) -> str:
        return f"{self.feed} since {self.seen_at:%Y-%m-%d %H:%M}"


class ClockEpoch(models.Model):
    """A dated interval in which a source's terminal clock had one offset from UTC."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="epochs")
    starts_msc = models.BigIntegerField(help_text="UTC instant at which the offset begins to hold.")
    offset_ms = models.IntegerField(help_text="Terminal clock minus UTC.")
    evidence = models.TextField(help_text="How the offset is known.")

    class Meta:
        ordering = ["source_id", "starts_msc"]
        constraints = [
            models.UniqueConstraint(fields=["source", "starts_msc"], name="epoch_once_per_start"),
            models.CheckConstraint(
                condition=models.Q(offset_ms__gte=-15 * 3_600_000, offset_ms__lte=15 * 3_600_000),
                name="epoch_offset_within_15_hours",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} from {self.starts_msc}: {self.offset_ms} ms"


class ClockCorrection(models.Model):
    """A correction of a source's clock: its intent, how far it has come, and what it did."""

    class State(models.TextChoices):
        RUNNING = "RUNNING"
        DONE = "DONE"

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="clock_corrections")
    old_clock = models.CharField(max_length=60)
    clock = models.CharField(max_length=60, help_text="The rule that the period gets.")
    from_msc = models.BigIntegerField(null=True, help_text="UTC by the old reckoning; empty: from the first tick.")
    to_msc = models.BigIntegerField(null=True, help_text="The period ends before it; empty: for all future.")
    actor = models.CharField(max_length=200)
    epochs_before = models.JSONField(help_text="[id, starts_msc, offset_ms] of each epoch.")
    epochs_after = models.JSONField(help_text="The same; ids that are new are given to rows at the end.")
    made = models.JSONField(help_text="Ids of the epochs that the rule made.")
    days = models.JSONField(help_text="UTC days (since 1970, old reckoning) in the order in which they are done.")
    days_done = models.IntegerField(default=0)
    figures = models.JSONField(default=dict, help_text="What was done so far, in ticks.")
    state = models.CharField(max_length=7, choices=State.choices, default=State.RUNNING)
    begun_at = models.DateTimeField(db_default=Now())
    done_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["source"], condition=models.Q(state="RUNNING"), name="correction_running_once_per_source"
            ),
            models.CheckConstraint(condition=models.Q(state__in=["RUNNING", "DONE"]), name="correction_state_is_known"),
            models.CheckConstraint(condition=models.Q(days_done__gte=0), name="correction_days_done_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.source} from {self.old_clock} to {self.clock}"


class SessionCalendar(models.Model):
    """When instruments can be traded, as text (``tickhub/core/calendars.py``); the audit ledger keeps every version."""

    name = models.CharField(max_length=40, unique=True)
    version = models.PositiveIntegerField(default=1, help_text="One more with every change; batches record it.")
    zone = models.CharField(max_length=60, help_text="The time zone of all times below, such as America/New_York.")
    hours = models.TextField(help_text="One line each: Sun 17:00 - Fri 17:00, or Mon-Fri 09:30-16:00.")
    breaks = models.TextField(blank=True, default="", help_text="Closed within the hours: Mon-Thu 17:00-18:00.")
    holidays = models.TextField(
        blank=True,
        default="",
        help_text="One line each: 12-25 closed (every year), 2026-11-27 closes 13:00, 2026-01-02 opens 10:00.",
    )
    rollover = models.CharField(
        max_length=5, default="00:00", help_text="When a day of trade begins; from 17:00 on it is the next date's."
    )
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(name__regex="^[a-z0-9][a-z0-9-]*$"), name="calendar_name_is_lower_case"
            ),
            models.CheckConstraint(condition=models.Q(version__gte=1), name="calendar_version_counts_from_1"),
        ]

    def __str__(self) -> str:
        return self.name


class UnsurePass(models.Model):
    """What of an hour shown twice was not captured of a feed in its first pass: ticks there may be of either pass."""

    # The epoch of the second pass; a correction of the clock that replaces it judges the passes anew.
    epoch = models.ForeignKey(ClockEpoch, on_delete=models.CASCADE, related_name="unsure_passes")
    feed = models.ForeignKey(Feed, on_delete=models.PROTECT, related_name="unsure_passes")
    from_msc = models.BigIntegerField(help_text="Wall clock; first millisecond.")
    to_msc = models.BigIntegerField(help_text="Wall clock; the stretch ends before it.")

    class Meta:
        ordering = ["epoch_id", "feed_id"]
        constraints = [
            models.UniqueConstraint(fields=["epoch", "feed"], name="unsure_pass_once_per_feed"),
            models.CheckConstraint(condition=models.Q(from_msc__lt=models.F("to_msc")), name="unsure_pass_not_empty"),
        ]

    def __str__(self) -> str:
        return f"{self.feed}: [{self.from_msc}, {self.to_msc})"
