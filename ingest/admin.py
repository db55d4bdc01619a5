"""The inbox, cursors and leases in the admin."""

from django.contrib import admin

from ingest.models import Batch, Cursor, Lease
from tickhub.reference.facts_admin import FactsAdmin


@admin.register(Batch)
class BatchAdmin(FactsAdmin):
    list_display = ("id", "source", "status", "tick_count", "captured_at", "stored_at", "publish_count", "failure")
    list_filter = ("status", "source")
    list_select_related = ("source",)
    search_fields = ("=id",)


@admin.register(Cursor)
class CursorAdmin(FactsAdmin):
    list_display = ("feed", "last_msc", "taken", "last_batch_id", "version")
    list_select_related = ("feed__source",)


@admin.register(Lease)
class LeaseAdmin(FactsAdmin):
    list_display = ("source", "holder", "fence", "expires_at")
    list_select_related = ("source",)
