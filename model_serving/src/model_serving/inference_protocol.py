"""Open Inference Protocol, version 2: the same scorer by tensors, one a column of the model's signature.

https://github.com/kserve/open-inference-protocol. Texts are BYTES, lists (labels, files) BYTES with JSON in them, as
MLflow's own servers take them; an absent column or a null is a missing value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from model_serving.bodies import decode
from model_serving.problems import Problem

PLATFORM = "onnx"
TEXT = ("repo_name", "created_at", "title", "body", "state", "updated_at", "closed_at", "merged_at",
        "author_association", "author_login", "author_type", "head_ref", "base_ref")  # fmt: skip
NUMBERS = ("number", "additions", "deletions", "changed_files", "commits_count", "assignees_count", "author_id",
           "pr_id")  # fmt: skip
FLAGS = ("is_draft", "is_cross_repository")
LISTS = ("labels", "files")
DATATYPES = {
    **dict.fromkeys(TEXT + LISTS, "BYTES"),
    **dict.fromkeys(NUMBERS, "INT64"),
    **dict.fromkeys(FLAGS, "BOOL"),
}
OUTPUTS = {
    "reconstruction_error": "FP64",
    "threshold": "FP64",
    "is_anomaly": "BOOL",
    "anomaly_score": "FP64",
    "reasons": "BYTES",
}
_KINDS = {
    "BYTES",
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
}


class InferInput(msgspec.Struct):
    """One column."""

    name: str
    shape: Annotated[list[Annotated[int, Meta(ge=0)]], Meta(min_length=1, max_length=2)]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] | None = None


class RequestedOutput(msgspec.Struct):
    """An output that the caller wants."""

    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(msgspec.Struct):
    """A batch of pull requests by columns."""

    inputs: Annotated[list[InferInput], Meta(min_length=1)]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[RequestedOutput] | None = None


class InferOutput(msgspec.Struct):
    """One column of the answer."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class InferResponse(msgspec.Struct, omit_defaults=True):
    """The answer; it has an id if the request had one."""

    model_name: str
    model_version: str
    outputs: list[InferOutput]
    id: str | None = None


class TensorMetadata(msgspec.Struct):
    """Name, type and shape of a column; -1 is any number of rows."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(msgspec.Struct):
    """What the model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


_decode_request = msgspec.json.Decoder(InferRequest).decode


def read_request(body: bytes, most: int) -> tuple[InferRequest, list[dict[str, Any]]]:
    """The request and its rows as documents; raises Problem naming the input at fault."""
    request: InferRequest = decode(_decode_request, body)
    sizes = {tensor.shape[0] for tensor in request.inputs}
    if len(sizes) != 1:
        raise _wrong("inputs", "columns of one length", f"lengths {sorted(sizes)[:5]}")
    n = sizes.pop()
    if n > most:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "too-many-items",
            f"expected at most {most} pull requests in one request, found {n}",
        )
    rows: list[dict[str, Any]] = [{} for _ in range(n)]
    seen: set[str] = set()
    for tensor in request.inputs:
        if tensor.name in seen:
            raise _wrong(tensor.name, "each input once", "it twice")
        seen.add(tensor.name)
        for row, value in zip(rows, _column(tensor), strict=True):
            row[tensor.name] = value
    unknown = [item.name for item in request.outputs or () if item.name not in OUTPUTS]
    if unknown:
        raise _wrong("outputs", "names among " + ", ".join(OUTPUTS), repr(unknown[0][:40]))
    return request, rows


def _column(tensor: InferInput) -> Sequence[Any]:
    name = tensor.name
    if name not in DATATYPES:
        raise _wrong(f"inputs.{name[:40]}", "an input of the model's signature", "an unknown name")
    if tensor.datatype not in _KINDS:
        raise _wrong(f"inputs.{name}.datatype", DATATYPES[name], repr(tensor.datatype[:20]))
    data = tensor.data
    if len(tensor.shape) == 2:
        if tensor.shape[1] != 1:
            raise _wrong(
                f"inputs.{name}.shape", f"[{tensor.shape[0]}] or [{tensor.shape[0]}, 1]", str(tensor.shape)
            )
        data = [item[0] if isinstance(item, list) and len(item) == 1 else item for item in data]
    if len(data) != tensor.shape[0]:
        raise _wrong(f"inputs.{name}.data", f"{tensor.shape[0]} values", f"{len(data)}")
    if name in NUMBERS:
        return [_whole(value) for value in data]
    if name in LISTS:
        return [_json(name, value) for value in data]
    return data


def _whole(value: Any) -> Any:
    # A column with a null in it is one of floats for many clients; NaN is then the null.
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if value.is_integer():
            return int(value)
    return value


def _json(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise _wrong(f"inputs.{name}.data", "JSON text of a list", "something else") from error


def _wrong(field: str, expected: str, found: str) -> Problem:
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "wrong-value",
        f"{field}: expected {expected}, found {found}",
        field=field,
        expected=expected,
        found=found,
    )


def answer(
    request: InferRequest, scores: Sequence[Mapping[str, Any]], name: str, version: str
) -> InferResponse:
    """The scores by columns, those that were asked for."""
    wanted = [item.name for item in request.outputs] if request.outputs else list(OUTPUTS)
    outputs = []
    for output in wanted:
        data = [score[output] for score in scores]
        if output == "reasons":
            data = [json.dumps(value, ensure_ascii=False) for value in data]
        outputs.append(InferOutput(output, [len(scores)], OUTPUTS[output], data))
    return InferResponse(name, version, outputs, request.id)


def metadata(name: str, version: str) -> ModelMetadata:
    """The model's signature."""
    return ModelMetadata(
        name,
        [version],
        PLATFORM,
        [TensorMetadata(column, kind, [-1]) for column, kind in DATATYPES.items()],
        [TensorMetadata(column, kind, [-1]) for column, kind in OUTPUTS.items()],
    )
