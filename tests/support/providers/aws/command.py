"""The executable `aws`: of the AWS command line only `aws eks get-token`, which kubeconfigs call for a token."""

import argparse
import json
import sys

from tests.support.providers.aws.kubeconfig import KUBECONFIG_VARIABLE, token_of_test


def run() -> int:
    parser = argparse.ArgumentParser(prog="aws", description="A stand-in for tests")
    parser.add_argument("--region")
    parser.add_argument("--output", default="json")
    services = parser.add_subparsers(dest="service", required=True)
    verbs = services.add_parser("eks").add_subparsers(dest="verb", required=True)
    get_token = verbs.add_parser("get-token")
    get_token.add_argument("--cluster-name", required=True)
    get_token.add_argument("--role-arn")
    get_token.add_argument("--region")
    get_token.add_argument("--output")
    parser.parse_args()
    token = token_of_test()
    if token is None:
        print(f"aws: {KUBECONFIG_VARIABLE} names no kubeconfig with a token", file=sys.stderr)
        return 255
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "kind": "ExecCredential",
        "spec": {},
        "status": {"token": token},
    }
    print(json.dumps(credential))
    return 0
