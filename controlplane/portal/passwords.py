"""A forgotten password: Django's views, with our words, our outbox, our audit log and a limit on asking."""

from typing import TYPE_CHECKING, Any

from allauth.core import ratelimit
from django import forms
from django.contrib.auth import views
from django.contrib.auth.views import INTERNAL_RESET_SESSION_TOKEN
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse_lazy
from django.utils.translation import gettext as _
from django.views.generic import FormView

from controlplane.accounts.models import User
from controlplane.accounts.passwords import password_reset_ask, password_reset_set
from controlplane.core import clock
from controlplane.core.errors import ValidationFailed
from controlplane.core.outbound.services import email_goes_out
from controlplane.portal.pages import failure
from controlplane.portal.presence import TooManyTries
from controlplane.portal.spoken import spoken


class AskForm(forms.Form):
    email = forms.CharField(max_length=254)


class _Door:
    """What lies behind a link of an e-mail is kept out of caches, search engines and referrers."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Robots-Tag"] = "noindex, nofollow"
        response.headers["Referrer-Policy"] = "same-origin"
        return response


if TYPE_CHECKING:
    _AskView = FormView[AskForm]
else:
    _AskView = FormView


class PasswordAsk(_Door, _AskView):
    """Answers the same whether or not there is such a person."""

    form_class = AskForm
    template_name = "account/password_ask.html"
    success_url = reverse_lazy("password-asked")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), "mail_is_set": email_goes_out()}

    def form_valid(self, form: AskForm) -> HttpResponse:
        address = form.cleaned_data["email"].strip().lower()
        if not ratelimit.consume(self.request, action="reset_password", key=address):
            refused = TooManyTries(_("That was asked too often."), hint=_("Wait an hour, then ask again."))
            return failure(self.request, refused)
        try:
            password_reset_ask(email=address, now=clock.now())
        except ValidationFailed as error:
            form.add_error("email", spoken(error.errors[0]["detail"]))
            return self.form_invalid(form)
        return HttpResponseRedirect(str(self.success_url))


class PasswordAsked(_Door, views.PasswordResetDoneView):
    template_name = "account/password_asked.html"


class PasswordChoose(_Door, views.PasswordResetConfirmView):
    """Looking at it uses nothing up: mail programs follow links too."""

    template_name = "account/password_choose.html"
    success_url = reverse_lazy("password-chosen")

    def form_valid(self, form: Any) -> HttpResponse:
        assert isinstance(self.user, User)
        password_reset_set(user=self.user, password=form.cleaned_data["new_password1"], now=clock.now())
        self.request.session.pop(INTERNAL_RESET_SESSION_TOKEN, None)
        return HttpResponseRedirect(str(self.success_url))


class PasswordChosen(_Door, views.PasswordResetCompleteView):
    template_name = "account/password_chosen.html"
