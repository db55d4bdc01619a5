"""Sources, feeds, instruments and clocks in the admin."""

from django.contrib import admin

from tickhub.reference.facts_admin import FactsAdmin
from tickhub.reference.models import ClockEpoch, Feed, Instrument, Source


@admin.register(Source)
class SourceAdmin(FactsAdmin):
    list_display = ("name", "scheme", "server_name", "is_replay", "priority", "created_at")
    list_filter = ("scheme", "is_replay")
    search_fields = ("name", "spec")


@admin.register(Feed)
class FeedAdmin(FactsAdmin):
    list_display = ("symbol", "instrument", "source", "begins_msc")
    list_filter = ("source",)
    list_select_related = ("instrument", "source")
    search_fields = ("symbol", "instrument__code")


@admin.register(Instrument)
class InstrumentAdmin(FactsAdmin):
    list_display = ("code", "digits", "price_basis", "negative_prices")
    list_filter = ("price_basis",)
    search_fields = ("code",)


@admin.register(ClockEpoch)
class ClockEpochAdmin(FactsAdmin):
    list_display = ("source", "starts_msc", "offset_ms", "evidence")
    list_select_related = ("source",)
