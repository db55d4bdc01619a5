"""The Django app of reference."""

from django.apps import AppConfig


class ReferenceConfig(AppConfig):
    name = "tickhub.reference"
    verbose_name = "Reference"
