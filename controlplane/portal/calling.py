"""How a tenant's agents are called from outside: by the field's clients and from a terminal. Pure."""

from typing import Final

#: The example that every runtime ships with.
EXAMPLE_AGENT: Final = "document_analyst"
_SDK: Final = """\
import os
from langgraph_sdk import get_sync_client

client = get_sync_client(
    url="{url}",
    api_key=os.environ["RUNTIME_API_KEY"],
)
answer = client.runs.wait(
    None,
    "{agent}",
    input={{"messages": [{{"role": "user", "content": "What can you do?"}}]}},
)
print(answer)"""
_OPENAI: Final = """\
import os
from openai import OpenAI

client = OpenAI(
    base_url="{url}/v1",
    api_key=os.environ["RUNTIME_API_KEY"],
)
answer = client.responses.create(model="{agent}", input="What can you do?")
print(answer.output_text)"""
_CURL: Final = """\
curl -s {url}/runs/wait \\
  -H "x-api-key: $RUNTIME_API_KEY" -H "content-type: application/json" \\
  -d '{{"assistant_id": "{agent}",
       "input": {{"messages": [{{"role": "user", "content": "What can you do?"}}]}}}}'"""


def snippets_of(*, url: str, agent: str) -> dict[str, str]:
    """Client -> a program that asks the agent once. Each reads the key from RUNTIME_API_KEY."""
    texts = {"langgraph-sdk": _SDK, "openai": _OPENAI, "curl": _CURL}
    return {client: text.format(url=url, agent=agent) for client, text in texts.items()}


def run_command(slug: str) -> str:
    """The same by our own command line, with the key of whoever types it."""
    return f'freehold runs create {slug} "What can you do?"'
