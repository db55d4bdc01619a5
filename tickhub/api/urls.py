"""The addresses of the REST API."""

from django.urls import path

from tickhub.api import certificates, scores, views

urlpatterns = [
    path("health/", views.HealthView.as_view(), name="health"),
    path("quality/certificates/", certificates.CertificatesView.as_view(), name="certificates"),
    path("quality/certificates/<int:certificate_id>/", certificates.CertificateView.as_view(), name="certificate"),
    path("quality/validate/", views.ValidateView.as_view(), name="quality-validate"),
    path("ticks/locate/", views.LocateTickView.as_view(), name="ticks-locate"),
    path("feeds/", views.FeedsView.as_view(), name="feeds"),
    path("quality/scores/", scores.ScoresView.as_view(), name="quality-scores"),
    path("quality/gaps/", views.GapsView.as_view(), name="quality-gaps"),
    path("ticks/latest/", views.LatestTicksView.as_view(), name="ticks-latest"),
]
