"""Certificates by REST: a list of what there is, and the signed documents as they were made."""

from typing import Any

from django.http import HttpResponse, HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from quality import certificates
from quality.certificates import Listed
from tickhub.api import parameters
from tickhub.api.base import ReadView
from tickhub.core import clock
from tickhub.reference import queries as reference

_MOST = 1_000
_LINES = "application/jsonl"
_FORMS = ("list", "documents")


class CertificatesView(ReadView):
    """The certificates of an instrument's feeds within ``[start, end)``, by feed and number, at most 1,000.

    ``after`` is the ``id`` that the page before ended with. ``form=documents`` answers the signed documents instead,
    one on each line, as ``verify_certificate`` reads them.
    """

    def get(self, request: Request) -> HttpResponseBase:
        values = parameters.read(request.query_params, "instrument", "source", "start", "end", "after", "form")
        code, name = values.get("instrument"), values.get("source")
        from_msc, to_msc = parameters.period(values)
        after = parameters.whole(values, "after", default=0)
        form = parameters.choice(values, "form", _FORMS, default=_FORMS[0])
        feeds = [feed for feed in reference.feeds(source=name) if code in (None, feed.instrument.code)]
        if not feeds:
            detail = f"no feed of instrument {code or 'any'} at source {name or 'any'}"
            return Response({"detail": detail}, status=404)
        found = certificates.listed(
            feed_ids=[feed.pk for feed in feeds], from_msc=from_msc, to_msc=to_msc, after=after, most=_MOST
        )
        if form == "documents":
            return HttpResponse("".join(f"{row.document}\n" for row in found), content_type=_LINES)
        by_id = {feed.pk: feed for feed in feeds}
        rows = [
            _describe(row) | {"symbol": by_id[row.feed_id].symbol, "source": by_id[row.feed_id].source.name}
            for row in found
        ]
        return Response({"certificates": rows, "next": found[-1].id if len(found) == _MOST else None})


class CertificateView(ReadView):
    """One certificate, byte for byte as it was signed."""

    def get(self, request: Request, certificate_id: int) -> HttpResponseBase:
        text = certificates.document(certificate_id=certificate_id)
        if text is None:
            return Response({"detail": f"certificate {certificate_id} is not known"}, status=404)
        return HttpResponse(text, content_type="application/json")


def _describe(row: Listed) -> dict[str, Any]:  # Any: JSON
    return {
        "id": row.id,
        "feed": row.feed_id,
        "number": row.number,
        "revision": row.revision,
        "from": clock.iso(row.from_msc),
        "to": clock.iso(row.to_msc),
        "is_whole": row.is_whole,
        "sha256": row.sha256,
    }
