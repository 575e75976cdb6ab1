"""The language of a page: the cookie of a choice, else what the browser asks for, else English."""

from django.http import HttpRequest, HttpResponseBase
from django.middleware.locale import LocaleMiddleware
from django.utils import translation

#: Programs read these answers: they are the same for everybody.
ENGLISH = "/api/"


class LanguageMiddleware(LocaleMiddleware):
    def process_request(self, request: HttpRequest) -> None:
        if request.path_info.startswith(ENGLISH):
            translation.activate("en")
            request.LANGUAGE_CODE = "en"
        else:
            super().process_request(request)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if request.path_info.startswith(ENGLISH):
            return response
        return super().process_response(request, response)
