"""Production refuses to send the mail server's password in the clear."""

import pytest
from pytest_django import Settings

from tickhub import checks


@pytest.mark.parametrize(
    ("password", "uses_tls", "refused"), [("pw", False, True), ("pw", True, False), ("", False, False)]
)
def test_a_mail_password_needs_tls(settings: Settings, password: str, uses_tls: bool, refused: bool) -> None:
    settings.ENVIRONMENT = "production"
    settings.EMAIL_HOST_PASSWORD, settings.EMAIL_USE_TLS, settings.EMAIL_USE_SSL = password, uses_tls, False

    assert ("tickhub.E006" in {found.id for found in checks.check_production(None)}) == refused
