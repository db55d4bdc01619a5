"""Sources, feeds, instruments and clocks in the admin."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from tickhub.core.calendars import InvalidCalendar
from tickhub.reference import calendars
from tickhub.reference.facts_admin import FactsAdmin
from tickhub.reference.models import (
    ClockCorrection,
    ClockEpoch,
    Feed,
    FeedFact,
    Instrument,
    SessionCalendar,
    Source,
    UnsurePass,
)

if TYPE_CHECKING:
    _Form = forms.ModelForm[SessionCalendar]
else:
    _Form = forms.ModelForm


@admin.register(Source)
class SourceAdmin(FactsAdmin):
    """An operator may change which source of an instrument is preferred, where the sources file does not say."""

    readonly_fields = (
        "name",
        "spec",
        "scheme",
        "server_name",
        "clock",
        "is_replay",
        "playback_origin_msc",
        "playback_start_msc",
        "created_at",
    )
    list_display = ("name", "scheme", "server_name", "clock", "is_replay", "priority", "created_at")
    list_filter = ("scheme", "is_replay")
    search_fields = ("name", "spec")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # Any: Django's signature
        return admin.ModelAdmin.has_change_permission(self, request, obj)


@admin.register(Feed)
class FeedAdmin(FactsAdmin):
    list_display = ("symbol", "instrument", "mapped_by", "source", "priority", "begins_msc")
    list_filter = ("source",)
    list_select_related = ("instrument", "source")
    search_fields = ("symbol", "instrument__code")

    @admin.display(ordering="source__priority")
    def priority(self, feed: Feed) -> int:
        return feed.source.priority


@admin.register(FeedFact)
class FeedFactAdmin(FactsAdmin):
    list_display = (
        "feed",
        "seen_at",
        "digits",
        "point",
        "trade_tick_size",
        "chart_mode",
        "currency_base",
        "currency_profit",
        "path",
    )
    list_filter = ("feed__source", "feed__instrument")
    list_select_related = ("feed__source",)
    search_fields = ("feed__symbol", "path")


@admin.register(Instrument)
class InstrumentAdmin(FactsAdmin):
    """The one place where an operator corrects what a terminal does not tell: basis, session, and prices below zero."""

    list_display = ("code", "digits", "price_basis", "negative_prices", "calendar", "calendar_by")
    list_filter = ("price_basis", "calendar")
    list_select_related = ("calendar",)
    search_fields = ("code",)
    readonly_fields = ("code", "calendar_by")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # Any: Django's signature
        return admin.ModelAdmin.has_change_permission(self, request, obj)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # Any: as above
        super().save_model(request, obj, form, change)
        if "calendar" in form.changed_data:
            calendars.assign(obj, before=form.initial["calendar"], actor=request.user.get_username())


class SessionCalendarForm(_Form):
    """Refuses texts that cannot be read, with the line that is wrong."""

    def clean(self) -> dict[str, Any]:  # Any: Django's signature
        cleaned = super().clean() or self.cleaned_data
        try:
            # A known calendar's name is no field of the form.
            texts = {"name": self.instance.name} | {name: cleaned.get(name, "") for name in self.fields}
            calendars.read(SessionCalendar(**texts))
        except InvalidCalendar as error:
            raise forms.ValidationError(str(error)) from error
        return cleaned


@admin.register(SessionCalendar)
class SessionCalendarAdmin(FactsAdmin):
    """Operators make and change calendars: each change is the next version, and stands in the audit ledger."""

    form = SessionCalendarForm  # type: ignore[assignment]  # the base knows no model of its rows
    list_display = ("name", "version", "zone", "hours", "breaks", "changed_at")
    search_fields = ("name",)
    fields = ("name", "version", "zone", "hours", "breaks", "holidays", "rollover", "changed_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:  # Any: as above
        # Batches record the name: it stays.
        return ("version", "changed_at") if obj is None else ("name", "version", "changed_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # Any: as above
        return admin.ModelAdmin.has_change_permission(self, request, obj)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # Any: as above
        calendars.save(obj, actor=request.user.get_username())


@admin.register(ClockEpoch)
class ClockEpochAdmin(FactsAdmin):
    list_display = ("source", "starts_msc", "offset_ms", "evidence", "ages")
    list_filter = ("source",)
    list_select_related = ("source",)

    @admin.display(description="age of the newest ticks, smallest / median")
    def ages(self, epoch: ClockEpoch) -> str:
        minute = epoch.source.connection_minutes.exclude(smallest_age_ms=None).first()
        if minute is None:
            return "-"
        return f"{minute.smallest_age_ms:,} / {minute.median_age_ms:,} ms at {minute.minute_at:%Y-%m-%d %H:%M}"


@admin.register(UnsurePass)
class UnsurePassAdmin(FactsAdmin):
    list_display = ("feed", "epoch", "from_msc", "to_msc")
    list_filter = ("feed__source",)
    list_select_related = ("feed__source", "epoch__source")


@admin.register(ClockCorrection)
class ClockCorrectionAdmin(FactsAdmin):
    list_display = ("source", "old_clock", "clock", "state", "days_done", "figures", "actor", "begun_at", "done_at")
    list_filter = ("state", "source")
    list_select_related = ("source",)
