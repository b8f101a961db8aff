"""The OpenAPI 3.1 document, made from the types that decode requests and shape answers."""

from __future__ import annotations

from typing import Any

import msgspec

from model_serving import answers
from model_serving.inference_protocol import DATATYPES, InferRequest, InferResponse, ModelMetadata
from model_serving.payloads import LISTS, GithubPullRequest, ProblemObject, PullRequestDocument, Score, Scores
from model_serving.reloading import Outcome
from model_serving.simulation import KINDS, NONE

_TYPES = [
    PullRequestDocument, GithubPullRequest, Score, Scores, ProblemObject, InferRequest, InferResponse, ModelMetadata,
    answers.Alive, answers.Ready, answers.ServedModelCard, answers.DeliveryResult, answers.ServerMetadata, answers.Live,
    answers.AllReady, answers.ModelReady, answers.SimulatedDrift, Outcome,
]  # fmt: skip
_PULL = {
    "anyOf": [
        {"$ref": "#/components/schemas/PullRequestDocument"},
        {"$ref": "#/components/schemas/GithubPullRequest"},
    ]
}
_EXAMPLE: dict[str, Any] = {
    "repo_name": "owner/name",
    "number": 7,
    "title": "Close the connection when the server says goodbye",
    "body": "Fixes #5.",
    "created_at": "2026-11-22T10:00:00Z",
    "author_login": "octocat",
    "author_id": 1,
    "additions": 48,
    "deletions": 12,
    "changed_files": 3,
    "commits_count": 2,
    "head_ref": "close-socket",
    "base_ref": "main",
}

_INFER_EXAMPLE = {
    "inputs": [
        {"name": name, "shape": [1], "datatype": DATATYPES[name], "data": [_EXAMPLE[name]]}
        for name in ("repo_name", "created_at", "title", "additions", "deletions")
    ]
}


def document(model_name: str, version: str, most_items: int) -> dict[str, Any]:
    """The document for a service of this model."""
    _, components = msgspec.json.schema_components(_TYPES, ref_template="#/components/schemas/{name}")
    _require(components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pull request anomaly scores",
            "version": version,
            "description": "How unusual is a pull request for its repository, and why. Unusual is not the same as bad.",
        },
        "paths": _paths(model_name, most_items),
        "components": {
            "schemas": components,
            "securitySchemes": {"reload": {"type": "http", "scheme": "bearer"}},
        },
    }


def _require(schemas: dict[str, Any]) -> None:
    """What decoding leaves to pr_features and `service`, whose errors name the field: said here all the same."""
    schemas["GithubPullRequest"]["required"] = ["base", "created_at"]
    schemas["PullRequestDocument"]["required"] = ["repo_name", "created_at"]
    schemas["PullRequestDocument"]["properties"].pop("_id", None)
    for form in ("GithubPullRequest", "PullRequestDocument"):
        for field, most in LISTS.items():
            for kind in schemas[form]["properties"].get(field, {}).get("anyOf", ()):
                if kind.get("type") == "array":
                    kind["maxItems"] = most


def _paths(model: str, most: int) -> dict[str, Any]:
    base = f"/v2/models/{model}"
    simulation = {
        "type": "object",
        "properties": {"drift_type": {"enum": [*KINDS, NONE]}},
        "required": ["drift_type"],
    }
    reload = _post(
        "reload", "Serve the version that the alias names now", None, "Outcome", (401, 403, 409, 422, 503)
    )
    reload["responses"]["202"] = _answer("Accepted: not every worker has followed yet", _ref("Outcome"))
    reload["security"] = [{"reload": []}]
    page = _get(
        "drift_report", "Its page for people", {"type": "string"}, (404, 503), "text/html; charset=utf-8"
    )
    page["responses"]["304"] = {"description": "the page that If-None-Match names is still the newest"}
    all_ready = _get("v2_ready", "Whether the service is ready", "AllReady", ())
    all_ready["responses"]["503"] = _answer("not ready", _ref("AllReady"))
    return {
        "/predict": {
            "post": _post(
                "predict",
                f"Score one pull request, or a list of at most {most}",
                {"anyOf": [_PULL, {"type": "array", "items": _PULL, "maxItems": most}]},
                {"anyOf": [_ref("Score"), _ref("Scores")]},
                (400, 413, 415, 422, 503),
                example=_EXAMPLE,
                headers=("X-Request-ID", "X-Request-Purpose"),
            )
        },
        "/health": {"get": _get("health", "The process answers", "Alive", ())},
        "/ready": {"get": _get("ready", "A model is proven and the service takes requests", "Ready", (503,))},
        "/model": {
            "get": _get(
                "model", "The served model, its card, and each worker's version", "ServedModelCard", (503,)
            )
        },
        "/metrics": {
            "get": _get("metrics", "Prometheus metrics of all workers", {"type": "string"}, (), "text/plain")
        },
        "/reload": {"post": reload},
        "/drift": {"get": _get("drift", "The drift job's newest report", {"type": "object"}, (404, 503))},
        "/drift/report": {"get": page},
        "/simulate-drift": {
            "post": _post(
                "simulate_drift",
                "Record rows as if the traffic had changed; switched off in production",
                simulation,
                "SimulatedDrift",
                (400, 403, 413, 415, 422),
            )
        },
        "/webhooks/github": {
            "post": _post(
                "webhook",
                "GitHub's pull_request events, signed",
                {"type": "object"},
                "DeliveryResult",
                (400, 401, 403, 413, 415, 422, 503),
                headers=("X-Hub-Signature-256", "X-GitHub-Event", "X-GitHub-Delivery", "X-Request-Purpose"),
            )
        },
        "/v2": {"get": _get("v2_server", "Server metadata", "ServerMetadata", ())},
        "/v2/health/live": {"get": _get("v2_live", "The process answers", "Live", ())},
        "/v2/health/ready": {"get": all_ready},
        **_model_paths(base, "", (503,)),
        **_model_paths(base + "/versions/{version}", "_version", (404, 503)),
        "/openapi.json": {"get": _get("openapi", "This document", {"type": "object"}, ())},
    }


def _model_paths(base: str, suffix: str, problems: tuple[int, ...]) -> dict[str, Any]:
    """The protocol's routes of a model, or of one of its versions."""
    ready = _get(f"v2_model{suffix}_ready", "Whether the model is ready", "ModelReady", problems)
    # Loaded but on the way out, or not loaded at all.
    ready["responses"]["503"]["content"] |= _answer("", _ref("ModelReady"))["content"]
    infer = _post(
        f"v2{suffix}_infer",
        "Score by columns (Open Inference Protocol)",
        _ref("InferRequest"),
        "InferResponse",
        tuple(sorted({400, 413, 415, 422, *problems})),
        example=_INFER_EXAMPLE,
        headers=("X-Request-ID", "X-Request-Purpose"),
    )
    paths = {
        base: {
            "get": _get(
                f"v2_model{suffix}_metadata", "What the model takes and gives", "ModelMetadata", problems
            )
        },
        f"{base}/ready": {"get": ready},
        f"{base}/infer": {"post": infer},
    }
    if suffix:
        for methods in paths.values():
            for operation in methods.values():
                operation.setdefault("parameters", []).append(
                    {
                        "name": "version",
                        "in": "path",
                        "required": True,
                        "schema": {"type": "string", "minLength": 1},
                    }
                )
    return paths


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _problems(statuses: tuple[int, ...]) -> dict[str, Any]:
    return {
        str(status): {
            "description": "a problem (RFC 9457)",
            "content": {"application/problem+json": {"schema": _ref("ProblemObject")}},
        }
        for status in statuses
    }


def _answer(description: str, schema: dict[str, Any], media: str = "application/json") -> dict[str, Any]:
    return {"description": description, "content": {media: {"schema": schema}}}


def _get(
    name: str,
    summary: str,
    answer: dict[str, Any] | str,
    problems: tuple[int, ...],
    media: str = "application/json",
) -> dict[str, Any]:
    """An operation; answer is a schema or the name of one."""
    schema = _ref(answer) if isinstance(answer, str) else answer
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": _answer("OK", schema, media), **_problems(problems)},
    }


def _post(
    name: str,
    summary: str,
    body: dict[str, Any] | None,
    answer: dict[str, Any] | str,
    problems: tuple[int, ...],
    *,
    example: Any = None,
    headers: tuple[str, ...] = (),
) -> dict[str, Any]:
    operation = _get(name, summary, answer, problems)
    if body is not None:
        content: dict[str, Any] = {"schema": body}
        if example is not None:
            content["example"] = example
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    if headers:
        operation["parameters"] = [
            {"name": header, "in": "header", "required": False, "schema": {"type": "string"}}
            for header in headers
        ]
    return operation
