"""A small autoencoder as an ONNX file, encoded by hand: the serving environment has no onnx package.

Only what is needed of the protocol buffers wire format; field numbers as in onnx.proto of ONNX 1.x.
"""

import numpy as np

FLOAT, INT64 = 1, 7


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _int(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _tensor(name: str, value: np.ndarray) -> bytes:
    kind = INT64 if value.dtype == np.int64 else FLOAT
    dims = b"".join(_int(1, size) for size in value.shape)
    return dims + _int(2, kind) + _bytes(8, name) + _bytes(9, value.tobytes())


def _node(kind: str, inputs: list[str], output: str, keepdims: int | None = None) -> bytes:
    body = (
        b"".join(_bytes(1, name) for name in inputs) + _bytes(2, output) + _bytes(3, output) + _bytes(4, kind)
    )
    if keepdims is not None:
        body += _bytes(5, _bytes(1, "keepdims") + _int(3, keepdims) + _int(20, 2))
    return body


def _value(name: str, dims: list[int | str]) -> bytes:
    shape = b"".join(_bytes(1, _bytes(2, d) if isinstance(d, str) else _int(1, d)) for d in dims)
    return _bytes(1, name) + _bytes(2, _bytes(1, _int(1, FLOAT) + _bytes(2, shape)))


def autoencoder(width: int, hidden: int = 8, seed: int = 0) -> bytes:
    """features [n, width] -> tanh -> features; outputs reconstruction_error [n], contributions [n, width]."""
    random = np.random.default_rng(seed)
    tensors = {
        "encode": random.normal(0, width**-0.5, (width, hidden)).astype(np.float32),
        "decode": random.normal(0, hidden**-0.5, (hidden, width)).astype(np.float32),
        "weights": np.full(width, 1 / width, dtype=np.float32),
        "axis": np.array([1], dtype=np.int64),
    }
    nodes = [
        _node("MatMul", ["features", "encode"], "sum"),
        _node("Tanh", ["sum"], "hidden"),
        _node("MatMul", ["hidden", "decode"], "rebuilt"),
        _node("Sub", ["rebuilt", "features"], "residual"),
        _node("Mul", ["residual", "residual"], "squared"),
        _node("Mul", ["squared", "weights"], "contributions"),
        _node("ReduceSum", ["contributions", "axis"], "reconstruction_error", keepdims=0),
    ]
    graph = (
        b"".join(_bytes(1, node) for node in nodes)
        + _bytes(2, "autoencoder")
        + b"".join(_bytes(5, _tensor(name, value)) for name, value in tensors.items())
        + _bytes(11, _value("features", ["n", width]))
        + _bytes(12, _value("reconstruction_error", ["n"]))
        + _bytes(12, _value("contributions", ["n", width]))
    )
    opset = _bytes(8, _int(2, 18))
    return _int(1, 9) + _bytes(7, graph) + opset
