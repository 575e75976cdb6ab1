"""What other rooms say in English and the portal shows in the language of the page.

The rooms know nothing of languages: their sentences are looked up when they are shown (vocabulary.py hands them to
the catalogues). What has a value within it is not found, and stays as it was said.
"""

from typing import Final

from django.utils.translation import gettext, gettext_noop

from controlplane.core.errors import FreeholdError

#: Sentences that are written where they are used, and have no table of their own.
FURTHER: Final = (
    gettext_noop("The engine reached the wanted state."),
    gettext_noop("Approval was asked for with the request."),
    gettext_noop("This machine"),
    gettext_noop("Kubernetes cluster"),
    gettext_noop("Postgres, Redis, vector store and runtime as processes of their own."),
    gettext_noop("A namespace and GPU nodes of its own."),
    gettext_noop("A network, an EKS cluster, RDS and ElastiCache of its own."),
)


def spoken(text: str) -> str:
    """The text in the language of the page, where a catalogue has it."""
    return gettext(text) if text else ""


def refusal(error: FreeholdError) -> str:
    """Why something was not done, and what to do next."""
    return f"{spoken(error.detail)} {spoken(error.hint)}".strip()
