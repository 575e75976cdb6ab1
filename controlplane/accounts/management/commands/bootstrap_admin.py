"""`manage.py bootstrap_admin`: the first team, its owner and an API key. Idempotent; used by `freehold up`."""

import json
import secrets
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from controlplane.accounts import roles
from controlplane.accounts.models import Membership, User
from controlplane.accounts.selectors import principal_of_token
from controlplane.accounts.services import (
    api_key_create,
    membership_set,
    team_create,
    user_create,
    user_set_password,
)
from controlplane.core import clock

ACTOR = "system:bootstrap"


class Command(BaseCommand):
    help = "Creates the first team, its owner and an API key, and keeps their secrets in a file of mode 0600."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument(
            "--secrets-file", required=True, type=Path, help="JSON with email, password and api_key"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["secrets_file"]
        kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        kept["email"] = options["email"]
        kept.setdefault("password", secrets.token_urlsafe(12))
        now = clock.now()
        with transaction.atomic():
            user = User.objects.filter(email=kept["email"]).first()
            if user is None:
                user = user_create(
                    email=kept["email"], password=kept["password"], name="Administrator", actor=ACTOR, now=now
                )
            elif not user.check_password(kept["password"]):
                user_set_password(user=user, password=kept["password"], actor=ACTOR, now=now)
            membership = Membership.objects.filter(user=user).select_related("team").first()
            if membership is None:
                team = team_create(name="Operators", actor=ACTOR, now=now)
                membership = membership_set(team=team, user=user, role=roles.OWNER, actor=ACTOR, now=now)
            if principal_of_token(token=kept.get("api_key", ""), now=now) is None:
                _, kept["api_key"] = api_key_create(
                    team_id=membership.team_id, name="freehold up", scopes=[roles.ADMIN], actor=ACTOR, now=now
                )
            # Inside the transaction: a key that could not be written down would be lost for ever.
            temporary = path.with_suffix(".new")
            temporary.touch(mode=0o600)
            temporary.write_text(json.dumps(kept))
            temporary.replace(path)
        self.stdout.write(json.dumps({"email": kept["email"]}))
