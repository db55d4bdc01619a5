"""The audit ledger in the admin: to read."""

import json
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from tickhub.audit.models import Entry

_DETAILS_LENGTH = 200

if TYPE_CHECKING:
    _Base = admin.ModelAdmin[Entry]
else:
    _Base = admin.ModelAdmin


@admin.register(Entry)
class EntryAdmin(_Base):
    list_display = ("at", "actor", "action", "object", "begin_of_details")
    list_filter = ("action", "actor")
    search_fields = ("object", "actor")
    actions = None

    @admin.display(description="details")
    def begin_of_details(self, entry: Entry) -> str:
        """Return what fits a line or two: an entry of many ticks names each of them, on its own page."""
        # The shortest first: the reason of a decision before the ticks that it was made on.
        text = json.dumps(dict(sorted(entry.details.items(), key=lambda item: len(json.dumps(item[1])))))
        return text if len(text) <= _DETAILS_LENGTH else f"{text[:_DETAILS_LENGTH]} …"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # Any: Django's signature
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # Any: Django's signature
        return False
