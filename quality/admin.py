"""Incidents, channels, findings, certificates, thresholds and gaps in the admin.

The quarantine is shown by the wiring (`tickhub/admin.py`): its decisions write to the tick table too.
"""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from quality import lifecycle, thresholds
from quality.models import (
    Certificate,
    Certification,
    Channel,
    Delivery,
    DueHours,
    Examination,
    FeedAgreement,
    FeedHour,
    Finding,
    Gap,
    Incident,
    Threshold,
    UnjudgedBatch,
)
from quality.notifying import channels
from quality.notifying.channels import ChannelRefused
from quality.thresholds import ThresholdRefused
from tickhub.core import clock
from tickhub.core.clock import HOUR_MS
from tickhub.reference.facts_admin import FactsAdmin, link


def _ticks(row: Incident | Finding) -> str:
    """Link to the ticks around the first one concerned."""
    first = row.evidence.get("first")
    if row.feed_id is None or not first:
        return "-"
    key = {name: first[name] for name in ("time_msc", "seq")}
    return link("the first one and its neighbours", "ticks-around", feed=row.feed_id, **key)


if TYPE_CHECKING:
    _ThresholdForm = forms.ModelForm[Threshold]
    _ChannelForm = forms.ModelForm[Channel]
else:
    _ThresholdForm = forms.ModelForm
    _ChannelForm = forms.ModelForm


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


@admin.register(Certificate)
class CertificateAdmin(FactsAdmin):
    list_display = ("feed", "number", "hour", "revision", "is_whole", "made_at", "sha256")
    list_filter = ("is_whole", "feed")
    list_select_related = ("feed__source",)
    search_fields = ("=number", "sha256")

    @admin.display(description="hour", ordering="from_msc")
    def hour(self, certificate: Certificate) -> str:
        return clock.iso(certificate.from_msc)


class ThresholdForm(_ThresholdForm):
    """A threshold to put in force."""

    class Meta:
        model = Threshold
        fields = ("name", "instrument", "group", "effect", "value", "reason")

    def clean(self) -> dict[str, Any] | None:  # Any: Django's signature
        cleaned = super().clean()
        if not self.errors:
            try:
                thresholds.refuse(Threshold(**self.cleaned_data))
            except ThresholdRefused as error:
                raise forms.ValidationError(str(error)) from error
        return cleaned


@admin.register(Threshold)
class ThresholdAdmin(FactsAdmin):
    """The history of thresholds: a new one is added, none is changed or deleted."""

    form = ThresholdForm  # type: ignore[assignment]  # the base is of any model
    list_display = ("id", "name", "scope", "effect", "value", "set_at", "actor", "reason")
    list_filter = ("name", "effect", "group")
    list_select_related = ("instrument",)
    search_fields = ("instrument__code", "group", "reason")

    @admin.display(description="for")
    def scope(self, threshold: Threshold) -> str:
        code = "" if threshold.instrument is None else str(threshold.instrument)
        return " in ".join(part for part in (code, threshold.group) if part) or "every instrument"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # Any: Django's signature
        thresholds.append(threshold=obj, actor=request.user.get_username())


@admin.register(FeedHour)
class FeedHourAdmin(FactsAdmin):
    list_display = ("feed", "hour_at", "ticks", "usual_gap_ms", "session_ms", "missing_ms")
    list_filter = ("feed__source", "feed__instrument")
    list_select_related = ("feed__source",)

    @admin.display(description="hour", ordering="hour")
    def hour_at(self, row: FeedHour) -> str:
        return clock.iso(row.hour * HOUR_MS)


@admin.register(Gap)
class GapAdmin(FactsAdmin):
    list_display = ("feed", "from_at", "seconds", "kind", "cause", "state", "backfill_id", "found_at")
    list_filter = ("kind", "state", "feed__source", "feed__instrument")
    list_select_related = ("feed__source",)
    search_fields = ("feed__symbol", "cause")

    @admin.display(description="from", ordering="from_msc")
    def from_at(self, gap: Gap) -> str:
        return clock.iso(gap.from_msc)

    @admin.display(description="seconds")
    def seconds(self, gap: Gap) -> str:
        return f"{(gap.to_msc - gap.from_msc) / 1000:,.1f}"


@admin.register(Examination)
class ExaminationAdmin(FactsAdmin):
    list_display = ("source", "next_at")
    list_select_related = ("source",)

    @admin.display(description="examined up to", ordering="next_hour")
    def next_at(self, row: Examination) -> str:
        return clock.iso(row.next_hour * HOUR_MS)


class ChannelForm(_ChannelForm):
    """What an operator sets of a channel."""

    events = forms.MultipleChoiceField(
        choices=Delivery.Event.choices, initial=Delivery.Event.values, widget=forms.CheckboxSelectMultiple
    )

    class Meta:
        model = Channel
        fields = channels.FIELDS

    def clean(self) -> dict[str, Any] | None:  # Any: Django's signature
        cleaned = super().clean()
        if not self.errors:
            try:
                channels.refuse(Channel(**self.cleaned_data))
            except ChannelRefused as error:
                raise forms.ValidationError(str(error)) from error
        return cleaned


@admin.register(Channel)
class ChannelAdmin(FactsAdmin):
    """Where incidents are told. A channel is switched off, not deleted: what was told over it stays recorded."""

    form = ChannelForm  # type: ignore[assignment]  # the base is of any model
    readonly_fields = ("on_since", "failures", "next_at")
    list_display = ("name", "kind", "least_severity", "causes", "events", "is_on", "on_since", "failures")
    list_filter = ("kind", "is_on")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:  # Any: Django's signature
        # How it answers is not known of one that is just being added.
        return [*channels.FIELDS, *(self.readonly_fields if obj else ())]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # Any: Django's signature
        return admin.ModelAdmin.has_change_permission(self, request, obj)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # Any: Django's signature
        channels.save(obj, actor=request.user.get_username())


@admin.register(Delivery)
class DeliveryAdmin(FactsAdmin):
    list_display = ("id", "incident", "event", "channel", "state", "attempts", "delivered_at", "error")
    list_filter = ("state", "event", "channel")
    list_select_related = ("incident", "channel")
    search_fields = ("=incident__id", "=message_id")


@admin.register(UnjudgedBatch)
class UnjudgedBatchAdmin(FactsAdmin):
    list_display = ("batch_id", "source", "found_at", "checks", "attempts", "judged_at", "failure")
    list_filter = (("judged_at", admin.EmptyFieldListFilter), "source")
    list_select_related = ("source",)
    search_fields = ("=batch_id",)


@admin.register(DueHours)
class DueHoursAdmin(FactsAdmin):
    list_display = ("work", "source", "feed", "hours", "noted_at")
    list_filter = ("work", "source")
    list_select_related = ("source", "feed")

    @admin.display(description="hours, UTC", ordering="from_hour")
    def hours(self, row: DueHours) -> str:
        return f"{clock.iso(row.from_hour * HOUR_MS)} to {clock.iso(row.to_hour * HOUR_MS)}"


@admin.register(Certification)
class CertificationAdmin(FactsAdmin):
    list_display = ("source", "through_batch_id")
    list_select_related = ("source",)


@admin.register(FeedAgreement)
class FeedAgreementAdmin(FactsAdmin):
    list_display = ("feed", "other", "begin", "compared_s", "disagreeing_s", "worst_points", "band_points")
    list_filter = ("feed", "other")
    list_select_related = ("feed", "other")

    @admin.display(description="hour, UTC", ordering="hour")
    def begin(self, row: FeedAgreement) -> str:
        return clock.iso(row.hour * HOUR_MS)
