"""The audit ledger in the admin: to read."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from tickhub.audit.models import Entry

if TYPE_CHECKING:
    _Base = admin.ModelAdmin[Entry]
else:
    _Base = admin.ModelAdmin


@admin.register(Entry)
class EntryAdmin(_Base):
    list_display = ("at", "actor", "action", "object", "details")
    list_filter = ("action", "actor")
    search_fields = ("object", "actor")
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # Any: Django's signature
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # Any: Django's signature
        return False
