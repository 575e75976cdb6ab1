"""Documents into long-term memory: the same handler for ordinary keys and for the control plane."""

import uuid
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from tenant_runtime.bodies import Body
from tenant_runtime.memory.long_term import Document
from tenant_runtime.service.requests import Caller, InRuntime

router = APIRouter()


class DocumentIn(Body):
    path: Annotated[str, Field(min_length=1, max_length=500)]
    title: Annotated[str, Field(max_length=300)] = ""
    text: Annotated[str, Field(min_length=1, max_length=5_000_000)]


class DocumentsIn(Body):
    documents: Annotated[list[DocumentIn], Field(min_length=1, max_length=1000)]


@router.post("/admin/documents")
@router.post("/documents")
async def documents_ingest(
    body: DocumentsIn | Annotated[list[DocumentIn], Field(min_length=1, max_length=1000)],
    runtime: InRuntime,
    caller: Caller,
) -> dict[str, Any]:
    """`{"documents": [...]}` or the bare list. The same content again changes and costs nothing. Embedding costs, so
    documents are refused while runs are."""
    await runtime.pause.refuse_while_paused()
    given = body if isinstance(body, list) else body.documents
    documents = [Document(item.path, item.title or item.path, item.text) for item in given]
    counts = await runtime.ingest(documents, account_id=f"ingest-{uuid.uuid4()}", user=caller.id)
    return asdict(counts)
