"""The inbox, cursors and leases in the admin."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join

from ingest import inbox
from ingest.models import AgentToken, Backfill, Batch, ConnectionMinute, Cursor, Lease
from tickhub.reference.facts_admin import FactsAdmin, link


@admin.register(Batch)
class BatchAdmin(FactsAdmin):
    list_display = ("id", "source", "status", "tick_count", "captured_at", "stored_at", "publish_count", "failure")
    list_filter = ("status", "source")
    list_select_related = ("source",)
    search_fields = ("=id",)
    readonly_fields = ("findings", "quarantined", "ticks")
    actions = ("release",)

    @admin.display(description="findings")
    def findings(self, batch: Batch) -> str:
        return link("what it showed", "admin:quality_finding_changelist", batch_id=batch.pk)

    @admin.display(description="quarantine")
    def quarantined(self, batch: Batch) -> str:
        return link("held ticks of this batch", "admin:quality_quarantinedtick_changelist", batch_id=batch.pk)

    @admin.display(description="ticks")
    def ticks(self, batch: Batch) -> str:
        feed_ids = sorted({part["feed"] for part in batch.parts if part["count"]})
        links = (
            (link(f"feed {feed_id}", "ticks-around", feed=feed_id, time_msc=batch.first_msc, seq=0),)
            for feed_id in feed_ids
        )
        return format_html_join(", ", "{}", links) or "-"

    @admin.action(description="Release failed batches: judge and store them again", permissions=["release"])
    def release(self, request: HttpRequest, queryset: QuerySet[Batch]) -> None:
        ids = inbox.release_failed(batch_ids=list(queryset.values_list("pk", flat=True)))
        self.message_user(request, f"{len(ids)} failed batches wait again; the sweeper publishes them at once.")

    def has_release_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("ingest.change_batch")


@admin.register(Backfill)
class BackfillAdmin(FactsAdmin):
    list_display = ("id", "feed", "state", "captured", "gone", "reason", "requested_at", "done_at", "failure")
    list_filter = ("state", "feed__source")
    list_select_related = ("feed__source",)


@admin.register(Cursor)
class CursorAdmin(FactsAdmin):
    list_display = ("feed", "last_msc", "taken", "last_batch_id", "version")
    list_select_related = ("feed__source",)


@admin.register(ConnectionMinute)
class ConnectionMinuteAdmin(FactsAdmin):
    list_display = (
        "minute_at",
        "source",
        "link",
        "circuit",
        "failures",
        "polls",
        "polls_ok",
        "connected_ms",
        "ipc_lost_ms",
        "link_lost_ms",
        "hung_ms",
        "polls_with_ticks",
        "smallest_age_ms",
        "median_age_ms",
    )
    list_filter = ("source", "link", "circuit")
    list_select_related = ("source",)


@admin.register(Lease)
class LeaseAdmin(FactsAdmin):
    list_display = ("source", "holder", "fence", "expires_at")
    list_select_related = ("source",)


@admin.register(AgentToken)
class AgentTokenAdmin(FactsAdmin):
    list_display = ("source", "created_at", "revoked_at")
    list_select_related = ("source",)
