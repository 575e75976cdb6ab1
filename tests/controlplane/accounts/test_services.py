"""People: what their addresses may be."""

import pytest

from controlplane.accounts.services import MAX_EMAIL, user_create
from controlplane.core import clock
from controlplane.core.errors import ValidationFailed


@pytest.mark.django_db
def test_an_address_must_fit_where_it_is_recorded() -> None:
    domain = f"{'d' * 60}.{'e' * 60}.com"
    fits = f"{'a' * 64}@{domain}"[-MAX_EMAIL:]
    user_create(email=fits, password="correct horse battery", name="A", actor="t", now=clock.now())
    long = f"{'a' * 60}@{'d' * 60}.{'e' * 60}.{'f' * 20}.com"
    with pytest.raises(ValidationFailed, match="at most 190"):
        user_create(email=long, password="correct horse battery", name="A", actor="t", now=clock.now())
