"""Incidents, findings and quarantine in the admin."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from quality import incidents
from quality.models import Examination, FeedHour, Finding, Gap, Incident, QuarantinedTick
from tickhub.core import clock, flags
from tickhub.core.clock import HOUR_MS
from tickhub.reference.facts_admin import FactsAdmin


@admin.register(Incident)
class IncidentAdmin(FactsAdmin):
    list_display = ("cause", "severity", "state", "feed", "source", "count", "opened_at", "last_seen_at")
    list_filter = ("state", "severity", "cause", "source")
    list_select_related = ("feed__source", "source")
    search_fields = ("cause", "feed__symbol")
    actions = ("acknowledge", "resolve")

    @admin.action(description="Acknowledge: somebody is looking at it", permissions=["decide"])
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[Incident]) -> None:
        count = incidents.acknowledge(incident_ids=list(queryset.values_list("pk", flat=True)))
        self.message_user(request, f"{count} open incidents acknowledged.")

    @admin.action(description="Resolve: the same cause opens a new incident", permissions=["decide"])
    def resolve(self, request: HttpRequest, queryset: QuerySet[Incident]) -> None:
        count = incidents.resolve(incident_ids=list(queryset.values_list("pk", flat=True)))
        self.message_user(request, f"{count} incidents resolved.")

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("quality.change_incident")


@admin.register(Finding)
class FindingAdmin(FactsAdmin):
    list_display = ("id", "cause", "feed", "batch_id", "count", "found_at", "incident")
    list_filter = ("cause", "source")
    list_select_related = ("feed__source", "incident")
    search_fields = ("=batch_id", "cause")


@admin.register(QuarantinedTick)
class QuarantinedTickAdmin(FactsAdmin):
    list_display = ("feed", "time_msc", "seq", "reasons", "state", "batch_id", "held_at")
    list_filter = ("state", "feed")
    list_select_related = ("feed__source",)
    search_fields = ("=batch_id",)

    @admin.display(description="reasons")
    def reasons(self, tick: QuarantinedTick) -> str:
        return ", ".join(flags.names(tick.quality))


@admin.register(FeedHour)
class FeedHourAdmin(FactsAdmin):
    list_display = ("feed", "hour_at", "ticks", "usual_gap_ms", "session_ms", "missing_ms")
    list_filter = ("feed__source", "feed__instrument")
    list_select_related = ("feed__source",)

    @admin.display(description="hour", ordering="hour")
    def hour_at(self, row: FeedHour) -> str:
        return clock.iso(row.hour * HOUR_MS)


@admin.register(Gap)
class GapAdmin(FactsAdmin):
    list_display = ("feed", "from_at", "seconds", "kind", "cause", "state", "backfill_id", "found_at")
    list_filter = ("kind", "state", "feed__source", "feed__instrument")
    list_select_related = ("feed__source",)
    search_fields = ("feed__symbol", "cause")

    @admin.display(description="from", ordering="from_msc")
    def from_at(self, gap: Gap) -> str:
        return clock.iso(gap.from_msc)

    @admin.display(description="seconds")
    def seconds(self, gap: Gap) -> str:
        return f"{(gap.to_msc - gap.from_msc) / 1000:,.1f}"


@admin.register(Examination)
class ExaminationAdmin(FactsAdmin):
    list_display = ("source", "next_at")
    list_select_related = ("source",)

    @admin.display(description="examined up to", ordering="next_hour")
    def next_at(self, row: Examination) -> str:
        return clock.iso(row.next_hour * HOUR_MS)
