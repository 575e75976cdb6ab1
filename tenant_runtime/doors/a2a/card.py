"""The agent card: who answers here, in which bindings, and which credentials it wants. Open to everybody."""

from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    APIKeySecurityScheme,
    HTTPAuthSecurityScheme,
    SecurityRequirement,
    SecurityScheme,
    StringList,
)
from a2a.utils.constants import PROTOCOL_VERSION_1_0, TransportProtocol

from tenant_runtime.agents.loading import LoadedAgent


def card_make(agent: LoadedAgent, *, tenant: str, rest_url: str, rpc_url: str) -> AgentCard:
    """`rest_url` is the base of the HTTP+JSON paths, `rpc_url` the JSON-RPC endpoint."""
    name, description = agent.entry.name, agent.entry.description or f"The agent {agent.entry.name}"
    return AgentCard(
        name=name,
        description=f"{description} (tenant {tenant})",
        version=agent.entry.version,
        supported_interfaces=[
            AgentInterface(
                url=rest_url,
                protocol_binding=TransportProtocol.HTTP_JSON.value,
                protocol_version=PROTOCOL_VERSION_1_0,
            ),
            AgentInterface(
                url=rpc_url,
                protocol_binding=TransportProtocol.JSONRPC.value,
                protocol_version=PROTOCOL_VERSION_1_0,
            ),
        ],
        capabilities=AgentCapabilities(streaming=True, push_notifications=True, extended_agent_card=True),
        security_schemes={
            "api_key": SecurityScheme(
                api_key_security_scheme=APIKeySecurityScheme(
                    location="header", name="x-api-key", description="An API key of this tenant's runtime"
                )
            ),
            "bearer": SecurityScheme(
                http_auth_security_scheme=HTTPAuthSecurityScheme(
                    scheme="Bearer",
                    description="The same API key, or a short-lived JWT that the control plane signed",
                )
            ),
        },
        security_requirements=[
            SecurityRequirement(schemes={"api_key": StringList()}),
            SecurityRequirement(schemes={"bearer": StringList()}),
        ],
        default_input_modes=["text/plain", "application/json"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id=name, name=name, description=description, tags=[agent.entry.adapter])],
    )
