"""The smallest stand-in: what a provider must be for tests/support/providers/serving.py to serve it."""

from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.provider import (
    ConfigureRequest,
    ConfigureResponse,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    Provider,
)

from tests.support.providers.serving import NotReady, Refused, serve_from_arguments


class EchoProvider(Provider):
    async def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        return ConfigureResponse(supports_preview=True)

    async def create(self, request: CreateRequest) -> CreateResponse:
        match request.properties["wish"].value:
            case "refused":
                raise Refused("this wish is refused")
            case "quota":
                raise OverflowError("the quota is used up")
            case "half":
                raise NotReady("it waits", resource_id="echo", properties={"echo": PropertyValue("faint")})
            case "surprise":
                raise RuntimeError("nobody expected this")
        return CreateResponse(resource_id="echo", properties={"echo": PropertyValue("heard")})

    async def delete(self, request: DeleteRequest) -> None:
        return


def explained(error: Exception) -> str | None:
    return f"AWS says: {error}" if isinstance(error, OverflowError) else None


def run() -> None:
    serve_from_arguments("echo", EchoProvider(), explain=explained)
