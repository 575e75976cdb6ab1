"""Whether it is still the person who signed in that sits there: what destroys data asks for the password again."""

from datetime import timedelta
from typing import Final

from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows.reauthentication import reauthenticate_by_password
from allauth.core import ratelimit
from django.http import HttpRequest
from django.utils.translation import gettext, gettext_noop

from controlplane.accounts.models import User
from controlplane.core import clock
from controlplane.core.errors import FreeholdError, ValidationFailed

#: After signing in, or after giving the password again.
TRUSTED_FOR: Final = timedelta(minutes=15)
FIELD: Final = "password"


class TooManyTries(FreeholdError):
    status = 429
    code = "rate_limited"
    title = gettext_noop("Too many tries")


def presence_is_recent(request: HttpRequest) -> bool:
    if not isinstance(request.user, User):
        return False
    since = (clock.now() - TRUSTED_FOR).timestamp()
    return any(record["at"] > since for record in get_authentication_records(request, request.user))


def presence_demand(request: HttpRequest) -> None:
    """Asks nothing of who signed in lately. Raises ValidationFailed for a wrong or missing password, TooManyTries
    after some of them; a right one counts for TRUSTED_FOR."""
    if presence_is_recent(request):
        return
    given = request.POST.get(FIELD, "")
    if not given:
        raise ValidationFailed.of(FIELD, gettext("Your sign-in is a while ago: type your password."))
    if not ratelimit.consume(request, action="reauthenticate", user=request.user):
        raise TooManyTries(
            gettext("That was tried too often."), hint=gettext("Wait a minute, then try again.")
        )
    if not isinstance(request.user, User) or not request.user.check_password(given):
        raise ValidationFailed.of(FIELD, gettext("That is not your password."))
    reauthenticate_by_password(request)
