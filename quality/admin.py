"""Incidents, findings and quarantine in the admin."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from quality import lifecycle
from quality.models import Certificate, Finding, Incident, QuarantinedTick
from tickhub.core import clock, flags
from tickhub.reference.facts_admin import FactsAdmin


@admin.register(Incident)
class IncidentAdmin(FactsAdmin):
    list_display = (
        "cause",
        "severity",
        "state",
        "feed",
        "source",
        "count",
        "opened_at",
        "last_seen_at",
        "escalated_at",
    )
    list_filter = ("state", ("escalated_at", admin.EmptyFieldListFilter), "severity", "cause", "source")
    list_select_related = ("feed__source", "source")
    search_fields = ("cause", "feed__symbol")
    actions = ("acknowledge", "resolve")

    @admin.action(description="Acknowledge: somebody is looking at it", permissions=["decide"])
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[Incident]) -> None:
        count = lifecycle.acknowledge(incident_ids=_ids(queryset), actor=request.user.get_username())
        self.message_user(request, f"{count} open incidents acknowledged.")

    @admin.action(description="Resolve: the same cause opens a new incident", permissions=["decide"])
    def resolve(self, request: HttpRequest, queryset: QuerySet[Incident]) -> None:
        count = lifecycle.resolve(incident_ids=_ids(queryset), actor=request.user.get_username())
        self.message_user(request, f"{count} incidents resolved.")

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("quality.change_incident")


def _ids(queryset: QuerySet[Incident]) -> list[int]:
    return list(queryset.values_list("pk", flat=True))


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


@admin.register(Certificate)
class CertificateAdmin(FactsAdmin):
    list_display = ("feed", "number", "hour", "revision", "is_whole", "made_at", "sha256")
    list_filter = ("is_whole", "feed")
    list_select_related = ("feed__source",)
    search_fields = ("=number", "sha256")

    @admin.display(description="hour", ordering="from_msc")
    def hour(self, certificate: Certificate) -> str:
        return clock.iso(certificate.from_msc)
