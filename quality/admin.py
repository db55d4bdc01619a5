"""Incidents and findings in the admin, with what leads from one to the other and to ticks.

The quarantine is shown by the wiring (`tickhub/admin.py`): its decisions write to the tick table too.
"""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from quality import incidents
from quality.models import Finding, Incident
from tickhub.reference.facts_admin import FactsAdmin, link


def _ticks(row: Incident | Finding) -> str:
    """Link to the ticks around the first one concerned."""
    first = row.evidence.get("first")
    if row.feed_id is None or not first:
        return "-"
    key = {name: first[name] for name in ("time_msc", "seq")}
    return link("the first one and its neighbours", "ticks-around", feed=row.feed_id, **key)


@admin.register(Incident)
class IncidentAdmin(FactsAdmin):
    list_display = ("cause", "severity", "state", "feed", "source", "count", "opened_at", "last_seen_at")
    list_filter = ("state", "severity", "cause", "source")
    list_select_related = ("feed__source", "source")
    search_fields = ("cause", "feed__symbol")
    readonly_fields = ("findings", "ticks")
    actions = ("acknowledge", "resolve")

    @admin.display(description="findings")
    def findings(self, incident: Incident) -> str:
        return link(
            f"all {incident.findings.count()}", "admin:quality_finding_changelist", incident__id__exact=incident.pk
        )

    @admin.display(description="ticks")
    def ticks(self, incident: Incident) -> str:
        return _ticks(incident)

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
    readonly_fields = ("batch", "ticks", "quarantined")

    @admin.display(description="batch")
    def batch(self, finding: Finding) -> str:
        return link(f"batch {finding.batch_id}", "admin:ingest_batch_change", finding.batch_id)

    @admin.display(description="ticks")
    def ticks(self, finding: Finding) -> str:
        return _ticks(finding)

    @admin.display(description="quarantine")
    def quarantined(self, finding: Finding) -> str:
        return link("held ticks of this batch", "admin:quality_quarantinedtick_changelist", batch_id=finding.batch_id)
