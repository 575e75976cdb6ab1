"""The executable `aws`: of the AWS command line only `aws eks get-token`, which kubeconfigs call for a token."""

import argparse
import json
import os
import sys
from pathlib import Path

#: The environment variable that names the file with the token of the test's API server.
TOKEN_FILE_VARIABLE = "STANDIN_EKS_TOKEN_FILE"


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
    path = os.environ.get(TOKEN_FILE_VARIABLE)
    if path is None:
        print(f"aws: {TOKEN_FILE_VARIABLE} names no file with a token", file=sys.stderr)
        return 255
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "kind": "ExecCredential",
        "spec": {},
        "status": {"token": Path(path).read_text().strip()},
    }
    print(json.dumps(credential))
    return 0
