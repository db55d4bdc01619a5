"""The web under an ASGI server."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tickhub.settings")
application = get_asgi_application()

from tickhub import checks  # noqa: E402  # settings have to be loaded first

checks.refuse_unsafe()
