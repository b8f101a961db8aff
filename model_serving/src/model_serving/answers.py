"""What the routes beside /predict and the protocol's infer answer; the OpenAPI document is made of these types, too."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from model_serving.payloads import Score
from model_serving.shared_state import WorkerState


class Alive(msgspec.Struct):
    """The process answers."""

    status: Literal["alive"]
    pid: int


class Ready(msgspec.Struct):
    """Requests are taken."""

    status: Literal["ready"]
    model_version: str


class ServedModelCard(msgspec.Struct):
    """The served model, and the version of each worker."""

    name: str
    version: str
    alias: Annotated[str | None, Meta(description="null where a folder is served and no registry asked")]
    threshold: Annotated[float, Meta(ge=0, description="in the unit of reconstruction_error")]
    features: list[str]
    columns: Annotated[int, Meta(ge=1, description="inputs of the network")]
    loaded_at: Annotated[float, Meta(description="seconds since 1970")]
    workers: list[WorkerState]
    service: Annotated[str, Meta(description="version of the service")]
    commit: str | None
    card: Annotated[dict[str, Any], Meta(description="what training wrote about the model")]


class DeliveryResult(msgspec.Struct, omit_defaults=True):
    """What became of a webhook delivery."""

    delivery: str
    result: Literal["scored", "duplicate", "ignored"]
    why: Annotated[str | None, Meta(description="why it was ignored")] = None
    score: Score | None = None


class ServerMetadata(msgspec.Struct):
    """The server, as the Open Inference Protocol wants it."""

    name: str
    version: str
    extensions: list[str]


class Live(msgspec.Struct):
    """The process answers."""

    live: bool


class AllReady(msgspec.Struct):
    """Whether requests are taken."""

    ready: bool


class ModelReady(msgspec.Struct):
    """Whether the model is ready."""

    name: str
    ready: bool


class SimulatedDrift(msgspec.Struct):
    """What is recorded from now on."""

    drift_type: str
