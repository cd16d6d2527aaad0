"""Who carries the letters, chosen for the container."""

from src.api.config.settings import Settings
from src.api.ports import Mail

__all__ = ["mail_of"]


def mail_of(settings: Settings) -> Mail | None:
    """None: links go to the log."""
    if settings.smtp_host is None:
        return None
    from src.api.adapters.mail import SmtpMail, server_of

    return SmtpMail(server_of(settings, settings.smtp_host))
