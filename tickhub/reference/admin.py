"""Sources, feeds, instruments and clocks in the admin."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from tickhub.reference.facts_admin import FactsAdmin
from tickhub.reference.models import ClockCorrection, ClockEpoch, Feed, FeedFact, Instrument, Source, UnsurePass


@admin.register(Source)
class SourceAdmin(FactsAdmin):
    """An operator may change which source of an instrument is preferred, where the sources file does not say."""

    readonly_fields = (
        "name",
        "spec",
        "scheme",
        "server_name",
        "clock",
        "is_replay",
        "playback_origin_msc",
        "playback_start_msc",
        "created_at",
    )
    list_display = ("name", "scheme", "server_name", "clock", "is_replay", "priority", "created_at")
    list_filter = ("scheme", "is_replay")
    search_fields = ("name", "spec")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # Any: Django's signature
        return admin.ModelAdmin.has_change_permission(self, request, obj)


@admin.register(Feed)
class FeedAdmin(FactsAdmin):
    list_display = ("symbol", "instrument", "mapped_by", "source", "priority", "begins_msc")
    list_filter = ("source",)
    list_select_related = ("instrument", "source")
    search_fields = ("symbol", "instrument__code")

    @admin.display(ordering="source__priority")
    def priority(self, feed: Feed) -> int:
        return feed.source.priority


@admin.register(FeedFact)
class FeedFactAdmin(FactsAdmin):
    list_display = (
        "feed",
        "seen_at",
        "digits",
        "point",
        "trade_tick_size",
        "chart_mode",
        "currency_base",
        "currency_profit",
        "path",
    )
    list_filter = ("feed__source", "feed__instrument")
    list_select_related = ("feed__source",)
    search_fields = ("feed__symbol", "path")


@admin.register(Instrument)
class InstrumentAdmin(FactsAdmin):
    """The one place where an operator corrects what a terminal does not tell: basis, and prices below zero."""

    list_display = ("code", "digits", "price_basis", "negative_prices")
    list_filter = ("price_basis",)
    search_fields = ("code",)
    readonly_fields = ("code",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # Any: Django's signature
        return admin.ModelAdmin.has_change_permission(self, request, obj)


@admin.register(ClockEpoch)
class ClockEpochAdmin(FactsAdmin):
    list_display = ("source", "starts_msc", "offset_ms", "evidence", "ages")
    list_filter = ("source",)
    list_select_related = ("source",)

    @admin.display(description="age of the newest ticks, smallest / median")
    def ages(self, epoch: ClockEpoch) -> str:
        minute = epoch.source.connection_minutes.exclude(smallest_age_ms=None).first()
        if minute is None:
            return "-"
        return f"{minute.smallest_age_ms:,} / {minute.median_age_ms:,} ms at {minute.minute_at:%Y-%m-%d %H:%M}"


@admin.register(UnsurePass)
class UnsurePassAdmin(FactsAdmin):
    list_display = ("feed", "epoch", "from_msc", "to_msc")
    list_filter = ("feed__source",)
    list_select_related = ("feed__source", "epoch__source")


@admin.register(ClockCorrection)
class ClockCorrectionAdmin(FactsAdmin):
    list_display = ("source", "old_clock", "clock", "state", "days_done", "figures", "actor", "begun_at", "done_at")
    list_filter = ("state", "source")
    list_select_related = ("source",)
