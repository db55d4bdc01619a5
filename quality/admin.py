"""Incidents, findings and quarantine in the admin."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from quality import lifecycle
from quality.models import Certificate, Channel, Delivery, Finding, Incident, QuarantinedTick
from quality.notifying import channels
from quality.notifying.channels import ChannelRefused
from tickhub.core import clock, flags
from tickhub.reference.facts_admin import FactsAdmin

if TYPE_CHECKING:
    _ChannelForm = forms.ModelForm[Channel]
else:
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
    actions = ("acknowledge", "resolve")

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


@admin.register(QuarantinedTick)
class QuarantinedTickAdmin(FactsAdmin):
    list_display = ("feed", "time_msc", "seq", "reasons", "state", "batch_id", "held_at")
    list_filter = ("state", "feed")
    list_select_related = ("feed__source",)
    search_fields = ("=batch_id",)

    @admin.display(description="reasons")
    def reasons(self, tick: QuarantinedTick) -> str:
        return ", ".join(flags.names(tick.quality))


@admin.register(Certificate)
class CertificateAdmin(FactsAdmin):
    list_display = ("feed", "number", "hour", "revision", "is_whole", "made_at", "sha256")
    list_filter = ("is_whole", "feed")
    list_select_related = ("feed__source",)
    search_fields = ("=number", "sha256")

    @admin.display(description="hour", ordering="from_msc")
    def hour(self, certificate: Certificate) -> str:
        return clock.iso(certificate.from_msc)


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
