"""Health, feeds and their states, gaps, newest ticks, where a tick is, and what is wrong with given ticks."""

from django.http import UnreadablePostError
from rest_framework.request import Request
from rest_framework.response import Response

from tickhub.api import feeds, gaps, given_ticks, health, latest_ticks, locating, parameters, validating
from tickhub.api.base import ReadView
from tickhub.api.given_ticks import BadInput
from tickhub.api.keys import BadKey, TickKey
from tickhub.api.locating import NotFound

_UNKNOWN_TOLD = 10


class HealthView(ReadView):
    """Whether the servers answer and the backlog moves; 503 where something does not."""

    def get(self, request: Request) -> Response:
        report = health.report()
        return Response(report, status=200 if report["status"] == "ok" else 503)


class FeedsView(ReadView):
    """Every feed with its state now and the reason for it."""

    def get(self, request: Request) -> Response:
        return Response(feeds.report())


class GapsView(ReadView):
    """What is missing of an instrument in a period, why, and how complete its feeds are."""

    def get(self, request: Request) -> Response:
        question = gaps.read(request.query_params)
        found = gaps.report(question)
        if not found:
            return Response({"detail": f"instrument not known: {question.instrument}"}, status=404)
        return Response(found)


class LatestTicksView(ReadView):
    """The newest stored tick of each instrument, with its age and what is known of its quality."""

    def get(self, request: Request) -> Response:
        values = parameters.read(request.query_params, "instruments", most=parameters.LIST_LENGTH_MOST)
        codes = parameters.words(values, "instruments")
        found, unknown = latest_ticks.newest(codes)
        if unknown:
            told = ", ".join(parameters.shown(code) for code in unknown[:_UNKNOWN_TOLD])
            more = len(unknown) - _UNKNOWN_TOLD
            return Response(
                {"detail": f"instruments not known: {told}{f' and {more} more' if more > 0 else ''}"}, status=404
            )
        return Response(found)


class LocateTickView(ReadView):
    """Where one tick is: captured, stored, flagged, in quarantine; when, and by which batch. 404 with the reason."""

    def get(self, request: Request) -> Response:
        try:
            values = parameters.read(request.query_params, "feed", "time_msc", "seq")
            return Response(locating.locate(TickKey.read(values)))
        except BadKey as error:
            return Response({"detail": str(error)}, status=400)
        except NotFound as error:
            return Response({"detail": str(error)}, status=404)


class ValidateView(ReadView):
    """The flags of given ticks, as capture would have judged them; nothing is stored. Whoever may read may ask."""

    def post(self, request: Request) -> Response:
        try:
            query = parameters.read(request.query_params, "instrument", "symbol", "poll_msc")
            # Read as bytes, and no more than is judged: none of DRF's parsers knows either.
            body = request._request.read(given_ticks.BODY_MAX_BYTES + 1)
            given = given_ticks.read(content_type=request.META.get("CONTENT_TYPE", ""), body=body, query=query)
            return Response(validating.judge(given))
        except BadInput as error:
            return Response({"detail": str(error)}, status=error.status)
        except UnreadablePostError as error:
            return Response({"detail": f"the body was cut off: {error}"}, status=400)
