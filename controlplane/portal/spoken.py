"""What other rooms say in English and the portal shows in the language of the page.

The rooms know nothing of languages: their sentences are looked up when they are shown (vocabulary.py hands them to
the catalogues). One that has values within it is known by its words around them (`WITH_VALUES`).
"""

import re
from functools import cache
from typing import Final

from django.utils.translation import gettext, gettext_noop

from controlplane.core.errors import FreeholdError

#: Sentences that are written where they are used, and have no table of their own.
FURTHER: Final = (
    gettext_noop("is not an e-mail address"),
    gettext_noop("must be 2 to 40 of a-z, 0-9 and -, begin with a letter and not end with -"),
    gettext_noop("is no time zone of the IANA database"),
    gettext_noop("must be a decimal above 0"),
    gettext_noop("must be a decimal above 0 with at most two places, such as 80"),
    gettext_noop("This invitation is not valid, has expired, or was used or revoked."),
    gettext_noop("This link is not valid, has expired, or was revoked."),
    gettext_noop("Ask whoever sent it to you for a new one."),
    gettext_noop("a worker"),
    gettext_noop("Ask an owner of your team for a role or an API key that has it."),
    gettext_noop("A key limited to some tenants cannot do this: it concerns the whole team."),
    gettext_noop("Use a key without that limit."),
    gettext_noop("Base fee"),
    gettext_noop("The engine reached the wanted state."),
    gettext_noop("Approval was asked for with the request."),
    gettext_noop("This machine"),
    gettext_noop("Kubernetes cluster"),
    gettext_noop("Postgres, Redis, vector store and runtime as processes of their own."),
    gettext_noop("A namespace and GPU nodes of its own."),
    gettext_noop("A network, an EKS cluster, RDS and ElastiCache of its own."),
)
#: The same with values. A value is data (a slug, a scope, a number) and stays as it is.
WITH_VALUES: Final = (
    gettext_noop("must be one of %(words)s"),
    gettext_noop("must be some of %(words)s"),
    gettext_noop("must be one or more of %(words)s"),
    gettext_noop("must be %(least)s to %(most)s characters"),
    gettext_noop("must be %(least)s to %(most)s printable characters"),
    gettext_noop("must be %(least)s to %(most)s thresholds"),
    gettext_noop("must be %(least)s to %(most)s"),
    gettext_noop("must be at most %(most)s addresses"),
    gettext_noop("must be at most %(most)s characters"),
    gettext_noop("must be at most %(most)s days"),
    gettext_noop("This needs the scope %(scope)s."),
    gettext_noop("The runtime of %(slug)s cannot be reached (%(why)s)."),
    gettext_noop("The runtime of %(slug)s answered with %(status)s."),
    gettext_noop("The runtime of %(slug)s did not answer in time."),
    gettext_noop("The runtime of %(slug)s answered something that is no JSON."),
    gettext_noop("Its health says more: freehold tenants show %(slug)s."),
    gettext_noop("Base fee, from %(since)s"),
    gettext_noop("this tenant's %(kind)s operation %(id)s"),
    gettext_noop("a free slot on the target %(target)s (%(busy)s of %(limit)s are busy)"),
    gettext_noop("a free slot (%(busy)s of %(limit)s are busy)"),
)


def spoken(text: str) -> str:
    """The text in the language of the page, where a catalogue has it."""
    if not text:
        return ""
    if (found := gettext(text)) != text:
        return found
    for sentence in WITH_VALUES:
        if met := _form_of(sentence).fullmatch(text):
            return gettext(sentence) % met.groupdict()
    return text


@cache
def _form_of(sentence: str) -> re.Pattern[str]:
    """What a sentence looks like once its values stand in it."""
    words = re.split(r"%\((\w+)\)s", sentence)
    return re.compile(
        "".join(f"(?P<{part}>.+?)" if place % 2 else re.escape(part) for place, part in enumerate(words))
    )


def problems_of(error: FreeholdError) -> dict[str, str]:
    """What is wrong, by field."""
    return {problem["pointer"].strip("/"): spoken(problem["detail"]) for problem in error.errors}


def refusal(error: FreeholdError) -> str:
    """Why something was not done, and what to do next."""
    of_fields = ", ".join(f"{field}: {text}" for field, text in problems_of(error).items())
    return f"{of_fields or spoken(error.detail)} {spoken(error.hint)}".strip()
