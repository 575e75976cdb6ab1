"""A provider for Kubernetes without a cluster: it takes everything and keeps nothing, where a test is about AWS."""

from importlib.metadata import version

from pulumi.provider.experimental.provider import (
    CheckRequest,
    CheckResponse,
    ConfigureRequest,
    ConfigureResponse,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    Provider,
    ReadRequest,
    ReadResponse,
    UpdateRequest,
    UpdateResponse,
)

from tests.support.providers.serving import serve_from_arguments


class SilentProvider(Provider):
    async def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        return ConfigureResponse(accept_secrets=True, supports_preview=True)

    async def check(self, request: CheckRequest) -> CheckResponse:
        return CheckResponse(inputs=request.new_inputs)

    async def create(self, request: CreateRequest) -> CreateResponse:
        return CreateResponse(resource_id=request.name, properties=request.properties)

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        return UpdateResponse(properties=request.news)

    async def read(self, request: ReadRequest) -> ReadResponse:
        return ReadResponse(request.resource_id, properties=request.properties, inputs=request.inputs)

    async def delete(self, request: DeleteRequest) -> None:
        return


def run() -> None:
    serve_from_arguments("kubernetes", SilentProvider(), version=version("pulumi-kubernetes"))
