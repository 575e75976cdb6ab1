"""The runtime's own OpenAPI document, for who has a key."""

from typing import Any

from fastapi import APIRouter, Request

router = APIRouter(tags=["runtime"])


@router.get("/openapi.json")
async def openapi_document(request: Request) -> dict[str, Any]:
    """Every path of this version with its parameters and bodies. Made once, and kept."""
    document: dict[str, Any] = request.app.openapi()
    schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["key"] = {"type": "apiKey", "in": "header", "name": "x-api-key"}
    schemes["bearer"] = {"type": "http", "scheme": "bearer"}
    document["security"] = [{"key": []}, {"bearer": []}]
    return document
