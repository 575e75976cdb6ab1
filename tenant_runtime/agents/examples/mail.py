"""The tool `send_mail`: posts a mail to RUNTIME_MAIL_URL, or only records it where none is set.

A mail that left cannot be taken back, so the tool is neither read-only nor idempotent: a call whose end nobody knows
is put before a person by the ledger. The same key goes out as `Idempotency-Key` all the same, for whoever looks at it.
"""

import os
from typing import Any, Final

import httpx
from pydantic import Field, field_validator

from tenant_runtime.errors import ToolFailed
from tenant_runtime.gateway.tools import Arguments, Tool, ToolContext
from tenant_runtime.settings import MAIL_TOKEN, MAIL_URL, Reader

SEND_S: Final = 10.0


class MailArguments(Arguments):
    to: str = Field(max_length=320, pattern=r"^[^@\s<>,;]+@[^@\s<>,;]+$", description="One address")
    subject: str = Field(max_length=300)
    text: str = Field(min_length=1, max_length=20_000)
    in_reply_to: str = Field(
        default="", max_length=500, description="Message id of the mail that is answered"
    )

    @field_validator("to", "subject", "in_reply_to")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("must be one line of text")
        return value


async def _record(mail: MailArguments, context: ToolContext) -> dict[str, Any]:
    if context.database is None:
        raise ToolFailed("there is no place to record a mail in", code="mail_unrecorded")
    async with context.database.connection() as conn:
        await conn.execute(
            "INSERT INTO recorded_mail (id, recipient, subject, body, in_reply_to) VALUES (%s, %s, %s, %s, %s) "
            "ON CONFLICT DO NOTHING",
            [context.idempotency_key, mail.to, mail.subject, mail.text, mail.in_reply_to],
        )
    return {"delivery": "recorded", "id": context.idempotency_key}


async def _send_mail(mail: MailArguments, context: ToolContext) -> dict[str, Any]:
    read = Reader(os.environ)
    url, token = read.url(MAIL_URL, ("http", "https")), read.secret(MAIL_TOKEN)
    if url is None:
        return await _record(mail, context)
    headers = {"Idempotency-Key": context.idempotency_key}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    async with httpx.AsyncClient(timeout=SEND_S, trust_env=False) as http:
        try:
            answer = await http.post(url, json=mail.model_dump(), headers=headers)
        except httpx.ConnectError as error:
            raise ToolFailed(
                "the mail service does not answer; nothing was sent", code="mail_unreachable"
            ) from error
    if 400 <= answer.status_code < 500:
        raise ToolFailed(f"the mail service refuses it with {answer.status_code}", code="mail_refused")
    # Anything else that is no yes leaves open what happened: this is no ToolFailed, so a person is asked.
    answer.raise_for_status()
    return {"delivery": "sent", "id": context.idempotency_key}


send_mail = Tool("send_mail", "Sends a mail to a customer.", MailArguments, _send_mail, SEND_S + 5)
