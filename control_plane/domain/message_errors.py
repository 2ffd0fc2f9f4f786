"""What is wrong with a message, each as a fact of its own."""

from __future__ import annotations

from control_plane.domain.errors import DomainError


class TemplateFailed(DomainError):
    """No mail can be made of a template and the facts of a message."""

    code = "template_failed"
    title = "A message cannot be written from its template"
    remedy = "Correct the template that the answer names, then send the message again."


class SecretGone(DomainError):
    """A link or code that a message is to bring has expired, or was revoked."""

    code = "secret_gone"
    title = "What the message was to bring is no longer valid"
    remedy = "Issue it again: that queues a message of its own."
