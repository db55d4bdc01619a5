"""The base of admin pages whose rows are facts: looked at, never changed by hand."""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html


def link(text: str, view: str, *args: object, **query: object) -> str:
    """Return a link to a page by its name, which needs no import of what it shows."""
    address = reverse(view, args=args)
    return format_html('<a href="{}">{}</a>', f"{address}?{urlencode(query)}" if query else address, text)


if TYPE_CHECKING:
    _Base = admin.ModelAdmin[Model]
else:
    _Base = admin.ModelAdmin


class FactsAdmin(_Base):
    """No adding, changing or deleting; lists show at most 100 rows and count no large table."""

    list_per_page = 100
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # Any: Django's signature
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # Any: as above
        return False
