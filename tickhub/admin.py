"""The quarantine in the admin: held ticks with their reasons and neighbours, and what is decided on them.

It stands in the wiring, as a release writes to what quality and storage keep.
"""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join

from quality import reasons
from quality.models import QuarantinedTick
from tickhub.core import clock, flags
from tickhub.core import ticks as tick_arrays
from tickhub.core.errors import UsageError
from tickhub.core.flags import HOLD, Flag
from tickhub.disk import DiskFull
from tickhub.quarantine import decisions, pages
from tickhub.quarantine.decisions import Decided
from tickhub.reference.facts_admin import FactsAdmin, link

_LINES_MOST = 20
_NUMBERS = ("bid", "ask", "last", "volume", "volume_real", "flags")


class ReasonFilter(admin.SimpleListFilter):
    """Ticks that are held for one reason, among others."""

    title = "reason"
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # Any: Django's signature
        return [(name, name) for name in flags.names(int(HOLD))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[QuarantinedTick]) -> QuerySet[QuarantinedTick]:
        if self.value() not in flags.names(int(HOLD)):
            return queryset
        return queryset.alias(bit=F("quality").bitand(int(Flag[self.value() or ""]))).exclude(bit=0)


@admin.register(QuarantinedTick)
class QuarantinedTickAdmin(FactsAdmin):
    list_display = ("time", "seq", "feed", "reasons", "state", "batch", "held_at", "decided_by")
    list_filter = ("state", ReasonFilter, "feed__source", "feed", "held_at")
    list_select_related = ("feed__source",)
    date_hierarchy = "held_at"
    search_fields = ("=batch_id", "=time_msc")
    search_help_text = "A batch's id, or a tick's time in UTC milliseconds"
    fields = (
        *("feed", "time", "time_msc", "seq", "state", "reasons_told", "values", "offset_ms", "batch", "held_at"),
        *("decided_at", "decided_by", "decision", "stored_seq"),
    )
    readonly_fields = ("time", "reasons_told", "values", "batch")
    actions = ("release", "reject", "reopen")

    @admin.display(description="time", ordering="time_msc")
    def time(self, tick: QuarantinedTick) -> str:
        return format_html('<span style="white-space: nowrap">{}</span>', clock.iso(tick.time_msc))

    @admin.display(description="reasons")
    def reasons(self, tick: QuarantinedTick) -> str:
        return ", ".join(flags.names(tick.quality))

    @admin.display(description="reasons")
    def reasons_told(self, tick: QuarantinedTick) -> str:
        return format_html_join("", "<div><b>{}</b> – {}</div>", reasons.told(tick.quality).items())

    @admin.display(description="values")
    def values(self, tick: QuarantinedTick) -> str:
        (record,) = tick_arrays.from_bytes(bytes(tick.record))
        return format_html_join("", "<div>{} {}</div>", ((name, repr(record[name].item())) for name in _NUMBERS))

    @admin.display(description="batch", ordering="batch_id")
    def batch(self, tick: QuarantinedTick) -> str:
        return link(str(tick.batch_id), "admin:ingest_batch_change", tick.batch_id)

    def has_release_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("quality.release_quarantinedtick")

    @admin.action(description="Release into the tick table", permissions=["release"])
    def release(self, request: HttpRequest, queryset: QuerySet[QuarantinedTick]) -> HttpResponse | None:
        return self._decide(request, queryset, decisions.release, "release")

    @admin.action(description="Reject: it stays here for good", permissions=["release"])
    def reject(self, request: HttpRequest, queryset: QuerySet[QuarantinedTick]) -> HttpResponse | None:
        return self._decide(request, queryset, decisions.reject, "reject")

    @admin.action(description="Reopen: take a rejection back", permissions=["release"])
    def reopen(self, request: HttpRequest, queryset: QuerySet[QuarantinedTick]) -> HttpResponse | None:
        return self._decide(request, queryset, decisions.reopen, "reopen")

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,  # Any: Django's signature
    ) -> HttpResponse:
        tick = self.get_object(request, object_id)
        context = dict(extra_context or {})
        if isinstance(tick, QuarantinedTick):
            seq = tick.seq if tick.stored_seq is None else tick.stored_seq
            context |= pages.shown(feed_id=tick.feed_id, time_msc=tick.time_msc, seq=seq)
            context["decisions"] = _possible(tick) if self.has_release_permission(request) else []
        return super().change_view(request, object_id, form_url, context)

    def _decide(
        self,
        request: HttpRequest,
        queryset: QuerySet[QuarantinedTick],
        do: Callable[..., Decided],
        action: str,
    ) -> HttpResponse | None:
        """Ask for the reason first; with one, decide and tell what became of it."""
        rows = list(queryset.select_related("feed__source").order_by("time_msc", "seq", "pk")[: decisions.MANY_MAX + 1])
        says = f"{action.capitalize()} {len(rows)} quarantined tick{'s' if len(rows) != 1 else ''}"
        if "reason" not in request.POST:
            return pages.ask_reason(request, rows=rows, action=action, says=says, error="")
        try:
            decided = do(
                row_ids=[row.pk for row in rows],
                reason=request.POST["reason"],
                actor=request.user.get_username(),
            )
        except (UsageError, DiskFull) as error:
            return pages.ask_reason(request, rows=rows, action=action, says=says, error=str(error))
        self.message_user(request, f"{action}: {decided.done} of {len(rows)} ticks done.", _level(decided))
        for line in decided.refused[:_LINES_MOST]:
            self.message_user(request, line, messages.ERROR)
        if len(decided.refused) > _LINES_MOST:
            self.message_user(request, f"and {len(decided.refused) - _LINES_MOST} more", messages.ERROR)
        return None


def _level(decided: Decided) -> int:
    return messages.SUCCESS if decided.done else messages.WARNING


def _possible(tick: QuarantinedTick) -> list[tuple[str, str]]:
    """Return the decisions that a tick's state allows, by action, with what their buttons say."""
    match tick.state:
        case QuarantinedTick.State.HELD:
            return [("release", "Release …"), ("reject", "Reject …")]
        case QuarantinedTick.State.REJECTED:
            return [("reopen", "Reopen …")]
    return []
