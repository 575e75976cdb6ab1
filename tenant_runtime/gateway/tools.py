"""What a tool is, and the literal table of the tools that ship with the runtime."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from tenant_runtime.database import Pool
from tenant_runtime.errors import ToolFailed
from tenant_runtime.gateway.arithmetic import arithmetic_evaluate
from tenant_runtime.memory.long_term import Embed, LongTermMemory, Passage
from tenant_runtime.models.offline.words import terms


@dataclass(frozen=True)
class ToolContext:
    """What a tool may touch, on the calling agent's account.

    `idempotency_key` is the same when the same call is made again after a crash: a tool with effects passes it on,
    as the header `Idempotency-Key` or whatever its callee takes.
    """

    memory: LongTermMemory
    embed: Embed
    idempotency_key: str
    database: Pool | None = None


class Arguments(BaseModel):
    """Base of every tool's arguments: unknown ones are refused, so a model cannot smuggle any in."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Tool:
    """`run` answers JSON-serialisable data. `description` is what a model reads when it chooses.

    A call that was cut off is made again only where the tool says that this does no harm: `read_only` changes
    nothing, `idempotent` takes effect once for one `idempotency_key`. For others a person is asked.
    """

    name: str
    description: str
    arguments: type[BaseModel]
    run: Callable[[Any, ToolContext], Awaitable[dict[str, Any]]]
    timeout_s: float = 10.0
    idempotent: bool = False
    read_only: bool = False

    def spec(self) -> dict[str, Any]:
        """The tool as the chat completions API wants it."""
        schema = self.arguments.model_json_schema()
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.description, "parameters": schema},
        }


class CalculateArguments(Arguments):
    expression: str = Field(max_length=200, description="Numbers, + - * / // % **, parentheses")


class ReadArguments(Arguments):
    path: str = Field(max_length=500, description="Path of a document, as a search gave it")
    find: str = Field(default="", max_length=500, description="Words to read around; empty for the beginning")


class OutlineArguments(Arguments):
    path: str = Field(max_length=500, description="Path of a document, as a search gave it")


class SearchArguments(Arguments):
    query: str = Field(min_length=1, max_length=500, description="What to look for")
    limit: int = Field(default=5, ge=1, le=20)


def passage_data(passage: Passage) -> dict[str, Any]:
    return {
        "path": passage.path, "title": passage.title, "heading": passage.heading,
        "number": passage.number, "text": passage.text,
    }  # fmt: skip


async def _calculate(arguments: CalculateArguments, _: ToolContext) -> dict[str, Any]:
    return {"expression": arguments.expression, "result": arithmetic_evaluate(arguments.expression)}


async def _document(context: ToolContext, path: str) -> list[Passage]:
    passages = await context.memory.read(path)
    if not passages:
        raise ToolFailed(f"no document at {path!r}", code="document_missing")
    return passages


async def _read_document(arguments: ReadArguments, context: ToolContext) -> dict[str, Any]:
    """Three neighbouring chunks: the one that shares most with `find`, with the one before and after."""
    passages = await _document(context, arguments.path)
    wanted = set(terms(arguments.find))
    overlap = [len(wanted & set(terms(f"{item.heading} {item.text}"))) for item in passages]
    centre = overlap.index(max(overlap))
    around = passages[max(0, centre - 1) : centre + 2]
    return {
        "path": arguments.path,
        "chunks": len(passages),
        "passages": [passage_data(item) for item in around],
    }


async def _document_outline(arguments: OutlineArguments, context: ToolContext) -> dict[str, Any]:
    passages = await _document(context, arguments.path)
    headings = list(dict.fromkeys(item.heading for item in passages if item.heading))
    return {"path": arguments.path, "title": passages[0].title, "headings": headings}


async def _search_documents(arguments: SearchArguments, context: ToolContext) -> dict[str, Any]:
    found = await context.memory.search(arguments.query, context.embed, limit=arguments.limit)
    return {"passages": [passage_data(item) for item in found]}


TOOLS: Final[dict[str, Tool]] = {
    tool.name: tool
    for tool in (
        Tool("calculate", "Evaluates an arithmetic expression exactly.", CalculateArguments, _calculate, 2.0,
             read_only=True),
        Tool(
            "read_document", "Reads a document around the words to find, with its neighbouring passages.",
            ReadArguments, _read_document, read_only=True,
        ),
        Tool(
            "document_outline", "Outline: the table of contents, headings and sections of a document.",
            OutlineArguments, _document_outline, read_only=True,
        ),
        Tool(
            "search_documents", "Searches long-term memory by meaning.", SearchArguments, _search_documents,
            read_only=True,
        ),
    )
}  # fmt: skip
