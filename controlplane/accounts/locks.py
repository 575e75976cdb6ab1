"""Every lock of this room, in the order it may be taken: teams, invitations, keys, people; then the audit head."""

from uuid import UUID

from controlplane.accounts.models import ApiKey, Invitation, Team, User


def team_lock(team_id: UUID) -> Team:
    """Changes of one team's people come one after another. Rows that refer to the team are not held up."""
    return Team.objects.select_for_update(no_key=True).get(pk=team_id)


def invitation_lock(invitation_id: UUID) -> Invitation | None:
    return Invitation.objects.select_for_update().filter(pk=invitation_id).first()


def api_key_lock(*, team_id: UUID, api_key_id: UUID) -> ApiKey | None:
    return ApiKey.objects.select_for_update().filter(pk=api_key_id, team_id=team_id).first()


def user_lock(email: str) -> User | None:
    return User.objects.select_for_update(no_key=True).filter(email=email).first()


def user_lock_by_id(user_id: UUID) -> User | None:
    return User.objects.select_for_update(no_key=True).filter(pk=user_id).first()
