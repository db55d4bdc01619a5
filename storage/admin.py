"""The register of partitions in the admin."""

from django.contrib import admin

from storage.models import Partition
from tickhub.reference.facts_admin import FactsAdmin


@admin.register(Partition)
class PartitionAdmin(FactsAdmin):
    list_display = ("day", "table_name", "created_at")
    date_hierarchy = "day"
