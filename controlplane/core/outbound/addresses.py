"""The check of a URL a customer writes, in the words of this deployable; contracts/destinations.py has the rules."""

from contracts.destinations import AddressRefused, Policy, text_check
from controlplane.core.errors import ValidationFailed


def url_check(url: str, *, policy: Policy, field: str) -> str:
    """The URL, if it may be posted to as far as its text tells. Raises ValidationFailed naming `field`."""
    try:
        text_check(url, policy=policy)
    except AddressRefused as error:
        raise ValidationFailed.of(field, str(error)) from error
    return url
