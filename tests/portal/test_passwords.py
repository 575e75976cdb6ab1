"""Mails to people: invitations with their link, and a new password for whoever forgot theirs."""

import random
import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from controlplane.accounts.mails import invitation_link, password_link
from controlplane.accounts.models import Invitation, User
from controlplane.core import clock
from controlplane.core.models import AuditEvent, OutboundMessage
from controlplane.core.outbound.delivery import outbox_deliver
from tests.portal.conftest import Browse, Page
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import PASSWORD, Person

NEW = "a staple, a horse, a battery"
ASK = "/account/password/"
CONSOLE = "django.core.mail.backends.console.EmailBackend"


@pytest.fixture(autouse=True)
def uncounted() -> None:
    cache.clear()


def sent() -> list[Any]:
    outbox_deliver(clock_now=clock.now, roll=random.random)
    return list(mail.outbox)


def link_in(text: str) -> str:
    """The path of the one link."""
    found = re.findall(r"https?://[^/\s]+(/\S+)", text)
    assert len(found) == 1, text
    return str(found[0])


def stored() -> str:
    return str([*OutboundMessage.objects.values(), *AuditEvent.objects.values()])


def asked(email: str) -> Any:
    return Client().post(ASK, {"email": email})


def test_links_in_mails_lead_where_the_pages_are() -> None:
    assert invitation_link("T").endswith(reverse("portal:join", args=["T"]))
    assert password_link("U", "T").endswith(reverse("password-choose", args=["U", "T"]))


def test_an_invitation_is_mailed_and_its_link_kept_nowhere(owner: Person, browse: Browse) -> None:
    page = Page(browse(owner).post("/access/", {"email": "new@example.com", "role": "operator"}))
    assert "sent to them by e-mail" in page.text
    queued = OutboundMessage.objects.get()
    assert (queued.text, bool(queued.sealed_text)) == ("", True)
    link = re.findall(r"/join/[^/]+/", page.html)[0]
    assert link.split("/")[2] not in stored()

    (message,) = sent()
    assert (message.to, message.subject) == (["new@example.com"], "Invitation to Team O")
    assert link_in(message.body) == link
    queued.refresh_from_db()
    assert (queued.state, queued.sealed_text) == ("delivered", "")
    joined = Client().post(link, {"name": "N", "password": NEW, "again": NEW})
    assert joined.status_code == 302


def test_an_invitation_is_sent_again_with_another_link(
    owner: Person, teammate: Person, stranger: Person, browse: Browse
) -> None:
    client = browse(owner)
    first = Page(client.post("/access/", {"email": "new@example.com", "role": "operator", "days": "1"}))
    old = re.findall(r"/join/[^/]+/", first.html)[0]
    invitation = Invitation.objects.get()
    again = f"/access/invitations/{invitation.pk}/again/"
    assert browse(teammate).post(again).status_code == 403
    assert browse(stranger).post(again).status_code == 404
    assert Client().get(old).status_code == 200

    Invitation.objects.update(
        expires_at=clock.now() + timedelta(hours=1), created_at=clock.now() - timedelta(hours=23)
    )
    listed = Page(client.get("/access/"))
    assert listed.all("form", action=again)
    page = Page(client.post(again, {"form_key": "k"}))
    assert_clean(page)
    assert_accessible(page)
    new = re.findall(r"/join/[^/]+/", page.html)[0]
    assert new != old
    assert Client().get(old).status_code == 404
    assert Client().get(new).status_code == 200
    invitation.refresh_from_db()
    assert invitation.expires_at > clock.now() + timedelta(hours=23)
    assert [link_in(each.body) for each in sent()] == [old, new]
    assert AuditEvent.objects.get(action="invitation.sent_again").actor == owner.principal.actor
    client.post(f"/access/invitations/{invitation.pk}/revoke/")
    assert "accepted or revoked before" in Page(client.post(again, follow=True)).text


def test_without_a_mail_server_the_page_says_to_send_the_link(
    owner: Person, browse: Browse, settings: Any
) -> None:
    settings.EMAIL_BACKEND = CONSOLE
    page = Page(browse(owner).post("/access/", {"email": "new@example.com", "role": "operator"}))
    assert "Send this link to them" in page.text
    assert not OutboundMessage.objects.exists()
    made = owner.api().post("/invitations", {"email": "two@example.com", "role": "viewer"}).json()
    assert made["mailed"] is False
    told = Page(Client().get(ASK))
    assert_accessible(told)
    assert "sends no e-mail" in told.text
    assert not told.all("input", name="email")


def test_a_forgotten_password_is_changed_by_a_link_and_every_session_ends(
    owner: Person, browse: Browse, stranger: Person
) -> None:
    here, elsewhere = browse(owner), browse(owner)
    other = browse(stranger)
    assert Page(Client().get("/account/login/")).all("a", href=ASK)
    form = Page(Client().get(ASK))
    assert_clean(form)
    assert_accessible(form)
    assert asked("Olivia@Example.com ").headers["Location"] == "/account/password/sent/"
    (message,) = sent()
    assert message.to == [owner.user.email]
    link = link_in(message.body)
    assert link.split("/")[4] not in stored()

    visitor = Client()
    choose = Page(visitor.get(link, follow=True))
    assert_clean(choose)
    assert_accessible(choose)
    assert choose.headers["Cache-Control"] == "no-store"
    place = visitor.get(link).headers["Location"]
    weak = Page(visitor.post(place, {"new_password1": "short", "new_password2": "short"}))
    assert_accessible(weak)
    assert "too short" in weak.text
    unlike = Page(visitor.post(place, {"new_password1": NEW, "new_password2": NEW + "x"}))
    assert unlike.all("input", name="new_password2", aria_invalid="true")
    assert here.get("/").status_code == 200, "nothing has changed yet"

    done = visitor.post(place, {"new_password1": NEW, "new_password2": NEW})
    assert done.headers["Location"] == "/account/password/done/"
    owner.user.refresh_from_db()
    assert owner.user.check_password(NEW)
    for session in (here, elsewhere):
        assert session.get("/").headers["Location"].startswith("/account/login/")
    assert visitor.get("/").status_code == 302, "it signs nobody in"
    assert other.get("/").status_code == 200
    event = AuditEvent.objects.get(action="user.password_set")
    assert (event.actor, event.team_id) == (owner.principal.actor, owner.team.pk)
    assert NEW not in stored()
    used = Page(Client().get(link, follow=True))
    assert "This link is not valid" in used.text
    assert_accessible(used)


def test_a_link_ends_after_an_hour_and_none_is_made_up(owner: Person, settings: Any) -> None:
    asked(owner.user.email)
    link = link_in(sent()[0].body)
    settings.PASSWORD_RESET_TIMEOUT = -1
    for path in (link, "/account/password/x/y/", link[:-3] + "zz/"):
        assert "This link is not valid" in Page(Client().get(path, follow=True)).text


def test_the_answer_tells_nobody_who_signs_in_here(owner: Person) -> None:
    owner.user.memberships.all().delete()
    User.objects.create(email="gone@example.com", name="", is_active=False, created_at=clock.now())
    answers = [asked(email) for email in ("nobody@example.com", "gone@example.com", owner.user.email)]
    assert {(each.status_code, each.headers["Location"]) for each in answers} == {
        (302, "/account/password/sent/")
    }
    assert sent() == []
    assert not AuditEvent.objects.filter(action="user.password_reset_asked").exists()
    page = Page(Client().get("/account/password/sent/"))
    assert_clean(page)
    assert_accessible(page)
    wrong = Page(asked("nobody"))
    assert wrong.all("input", name="email", aria_invalid="true", value="nobody")


def test_asking_is_limited_for_each_address(owner: Person) -> None:
    for email in (owner.user.email, "nobody@example.com"):
        assert [asked(email).status_code for _ in range(4)] == [302, 302, 302, 429]
    # Asked twice within a second, the link is the same one, and goes out once.
    assert {message.to[0] for message in sent()} == {owner.user.email}
    assert 1 <= len(mail.outbox) <= 3
    assert PASSWORD not in stored()
