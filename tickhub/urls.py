"""The web's addresses."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from tickhub.quarantine import pages

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/")),
    path("admin/ticks/", admin.site.admin_view(pages.ticks_around), name="ticks-around"),
    path("admin/", admin.site.urls),
    path("api/v1/", include("tickhub.api.urls")),
    path("", include("django_prometheus.urls")),
]
