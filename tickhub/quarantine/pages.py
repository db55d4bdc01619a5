"""Pages of the admin that show ticks, and ask for a decision's reason."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from quality.models import QuarantinedTick
from tickhub.api.keys import BadKey, TickKey
from tickhub.quarantine import chart, decisions, neighbours
from tickhub.reference import queries as reference


def ticks_around(request: HttpRequest) -> HttpResponse:
    """Show the stored and held ticks around a key of a feed."""
    if not request.user.has_perm("quality.view_quarantinedtick"):
        raise PermissionDenied
    context = admin.site.each_context(request) | {
        "title": "Ticks",
        "feeds": reference.feeds(),
        "asked": {name: request.GET.get(name, "") for name in ("feed", "time_msc", "seq")},
    }
    if request.GET:
        try:
            key = TickKey.read(request.GET)
            context |= shown(feed_id=key.feed_id, time_msc=key.time_msc, seq=key.seq)
        except BadKey as error:
            context["error"] = str(error)
    status = 400 if "error" in context else 200
    return TemplateResponse(request, "tickhub/ticks_around.html", context, status=status)


def shown(*, feed_id: int, time_msc: int, seq: int) -> dict[str, object]:
    """Return what the template of a tick's neighbours needs."""
    rows = neighbours.around(feed_id=feed_id, time_msc=time_msc, seq=seq)
    return {"neighbours": rows, "chart": chart.draw(rows)}


def ask_reason(
    request: HttpRequest, *, rows: list[QuarantinedTick], action: str, says: str, error: str
) -> TemplateResponse:
    """Ask for the reason of a decision on some ticks, before anything is done."""
    context = admin.site.each_context(request) | {
        "title": says,
        "opts": QuarantinedTick._meta,
        "rows": rows,
        "action": action,
        "error": error,
        "reason": request.POST.get("reason", ""),
        "reason_length_max": decisions.REASON_LENGTH_MAX,
    }
    return TemplateResponse(request, "tickhub/ask_reason.html", context, status=400 if error else 200)
