"""Open the mailer that the settings name."""

from src.api.config.settings import Settings
from src.api.ports import Mail

__all__ = ["open_mailer"]


def open_mailer(settings: Settings) -> Mail | None:
    """Return None if no SMTP server is set."""
    if settings.smtp_host is None:
        return None
    from src.api.adapters.mail import SmtpMail, read_mail_server

    return SmtpMail(read_mail_server(settings, settings.smtp_host))
