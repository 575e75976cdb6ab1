"""The few verbs of the Kubernetes API that the provider needs, over the official client."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml
from kubernetes import client, config

from tests.support.providers.kubernetes.kinds import Kind
from tests.support.providers.serving import Refused

FIELD_MANAGER = "pulumi"
REQUEST_TIMEOUT_S = 30.0
_POOL = 64

Object = dict[str, Any]


class ApiError(Refused):
    """The apiserver answered with an error; `code` is its status, the text its message."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class Api:
    """One cluster with one user. Thread-safe."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    @classmethod
    def of(cls, kubeconfig: str, context: str | None) -> "Api":
        """From a kubeconfig's contents or its path."""
        loaded = kubeconfig_load(kubeconfig)
        configuration = client.Configuration()
        config.load_kube_config_from_dict(loaded, context=context, client_configuration=configuration)
        configuration.connection_pool_maxsize = _POOL
        configuration.retries = False
        return cls(client.ApiClient(configuration))

    def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        try:
            return self._call("GET", f"{kind.path(namespace)}/{name}")[0]
        except ApiError as refused:
            if refused.code == 404:
                return None
            raise

    def items(self, path: str, **selectors: str) -> list[Object]:
        return list(self._call("GET", path, selectors)[0].get("items", []))

    def apply(
        self, kind: Kind, wanted: Object, *, dry_run: bool = False, force: bool = False
    ) -> tuple[Object, list[str]]:
        """Server-side apply with strict validation: the object as it is then, and the apiserver's warnings."""
        query = {
            "fieldManager": FIELD_MANAGER,
            "fieldValidation": "Strict",
            "force": str(force).lower(),
            **({"dryRun": "All"} if dry_run else {}),
        }
        metadata = wanted["metadata"]
        path = f"{kind.path(metadata.get('namespace'))}/{metadata['name']}"
        return self._call("PATCH", path, query, body=wanted, content="application/apply-patch+yaml")

    def delete(self, kind: Kind, namespace: str | None, name: str) -> None:
        """In the foreground: the object stays until what depends on it is gone. No error when it is gone."""
        body = {"propagationPolicy": "Foreground"}
        try:
            self._call("DELETE", f"{kind.path(namespace)}/{name}", body=body)
        except ApiError as refused:
            if refused.code != 404:
                raise

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Object | None = None,
        content: str = "application/json",
    ) -> tuple[Object, list[str]]:
        headers = {"Accept": "application/json", "Content-Type": content, "User-Agent": "pulumi-stand-in"}
        self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = f"{self._api.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        # The client turns objects into text for JSON's own media type only.
        sent: Any = body if content == "application/json" else json.dumps(body)
        answer = self._api.rest_client.request(
            method, url, headers=headers, body=sent, _request_timeout=REQUEST_TIMEOUT_S
        )
        text = answer.read()
        if answer.status >= 400:
            raise _refused(answer.status, text)
        return json.loads(text), _warnings(answer.headers)


def kubeconfig_load(kubeconfig: str) -> Object:
    """Refused when it is neither a kubeconfig nor the path of one."""
    text = kubeconfig
    if "\n" not in kubeconfig and not kubeconfig.lstrip().startswith("{"):
        try:
            text = Path(kubeconfig).expanduser().read_text()
        except OSError as error:
            raise Refused(f"cannot read the kubeconfig {kubeconfig}: {error.strerror}") from error
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Refused(f"the kubeconfig is not YAML: {error}") from error
    if not isinstance(loaded, dict) or "clusters" not in loaded:
        raise Refused("the kubeconfig names no clusters")
    return loaded


def server_of(kubeconfig: str, context: str | None) -> str:
    """The address of the cluster that a context means."""
    loaded = kubeconfig_load(kubeconfig)
    name = context or loaded.get("current-context")
    contexts = {each["name"]: each["context"]["cluster"] for each in loaded.get("contexts", [])}
    servers = {each["name"]: each["cluster"]["server"] for each in loaded["clusters"]}
    return str(servers.get(contexts.get(str(name), ""), ""))


def _refused(status: int, text: bytes) -> ApiError:
    try:
        told = json.loads(text)
        return ApiError(status, told.get("reason", ""), told.get("message") or f"status {status}")
    except (ValueError, AttributeError):
        return ApiError(status, "", text.decode(errors="replace") or f"status {status}")


def _warnings(headers: Any) -> list[str]:
    """The texts of headers like `Warning: 299 - "text"` (RFC 7234)."""
    found = headers.getlist("Warning") if hasattr(headers, "getlist") else []
    return [each.split('"', 1)[1].rsplit('"', 1)[0].replace('\\"', '"') for each in found if '"' in each]
