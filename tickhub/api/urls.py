"""The addresses of the REST API."""

from django.urls import path

from tickhub.api import views

urlpatterns = [
    path("health/", views.HealthView.as_view(), name="health"),
    path("feeds/", views.FeedsView.as_view(), name="feeds"),
    path("quality/gaps/", views.GapsView.as_view(), name="quality-gaps"),
    path("ticks/latest/", views.LatestTicksView.as_view(), name="ticks-latest"),
]
