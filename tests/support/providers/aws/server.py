"""The executable `pulumi-resource-aws`."""

from importlib.metadata import version

from tests.support.providers.aws.provider import AwsProvider, explained
from tests.support.providers.serving import serve_from_arguments


def run() -> None:
    serve_from_arguments("aws", AwsProvider(), version=version("pulumi-aws"), explain=explained)
