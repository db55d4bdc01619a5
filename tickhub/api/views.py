"""Health, feeds and their states, gaps, and the newest tick of each instrument."""

from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tickhub.api import feeds, gaps, health, latest_ticks
from tickhub.core.errors import UsageError


class HealthView(APIView):
    """Whether the servers answer and the backlog moves; 503 where something does not."""

    permission_classes = (AllowAny,)
    authentication_classes = ()

    def get(self, request: Request) -> Response:
        report = health.report()
        return Response(report, status=200 if report["status"] == "ok" else 503)


class FeedsView(APIView):
    """Every feed with its state now and the reason for it."""

    permission_classes = (AllowAny,)
    authentication_classes = ()

    def get(self, request: Request) -> Response:
        return Response(feeds.report())


class GapsView(APIView):
    """What is missing of an instrument in a period, why, and how complete its feeds are."""

    permission_classes = (AllowAny,)
    authentication_classes = ()

    def get(self, request: Request) -> Response:
        asked = request.query_params
        try:
            question = gaps.read(
                instrument=asked.get("instrument"),
                start=asked.get("start"),
                end=asked.get("end"),
                parts=asked.get("parts"),
            )
        except UsageError as error:
            return Response({"detail": str(error)}, status=400)
        found = gaps.report(question)
        if not found:
            return Response({"detail": f"instrument not known: {question.instrument}"}, status=404)
        return Response(found)


class LatestTicksView(APIView):
    """The newest stored tick of each instrument, with its age and what is known of its quality."""

    permission_classes = (AllowAny,)
    authentication_classes = ()

    def get(self, request: Request) -> Response:
        wanted = request.query_params.get("instruments")
        codes = [code for code in wanted.split(",") if code] if wanted else None
        found, unknown = latest_ticks.newest(codes)
        if unknown:
            return Response({"detail": f"instruments not known: {', '.join(unknown)}"}, status=404)
        return Response(found)
