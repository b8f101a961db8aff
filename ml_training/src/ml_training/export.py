"""The network as one ONNX file, weights inside, and the proof that it computes what torch computes.

The graph is a dozen nodes and is written node by node: the file then depends on the weights alone, not on
the version of an exporter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from ml_training.autoencoder import Autoencoder

OPSET = 18
IR_VERSION = 9
INPUT = "features"
OUTPUTS = ("reconstruction_error", "contributions")
# float32 sums taken in another order differ by about this much.
PARITY_TOLERANCE = 1e-5


class ExportMismatch(RuntimeError):
    """ONNX Runtime and torch disagree about the same rows: the export must not be used."""


def export_onnx(network: Autoencoder, path: Path) -> None:
    """Write the network: input ``features`` float32 [n, D]; outputs errors [n] and contributions [n, D]."""
    width = network.architecture.n_features
    graph = _Graph()
    kernels = [kernel.detach().cpu().numpy() for kernel in network.kernels]
    biases = [bias.detach().cpu().numpy() for bias in network.biases]
    # [1, n, D] times [M, D, h] is [M, n, h]: all members in one product.
    hidden = graph.node("Unsqueeze", INPUT, graph.constant("first_axis", np.array([0])))
    linear = {len(network.architecture.hidden), len(kernels) - 1}
    for position, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        product = graph.node("MatMul", hidden, graph.constant(f"kernel_{position}", kernel))
        hidden = graph.node("Add", product, graph.constant(f"bias_{position}", bias))
        if position not in linear:
            hidden = graph.node("Tanh", hidden)
    low = graph.constant("low", network.low.detach().cpu().numpy())
    high = graph.constant("high", network.high.detach().cpu().numpy())
    usual = graph.node("Min", graph.node("Max", hidden, low), high)
    share = network.architecture.strict_share
    strict_scale, free_scale = network.scales.detach().cpu().numpy()
    strict_weights = network.strict_weights.detach().cpu().numpy()
    free_weights = network.free_weights.detach().cpu().numpy()
    strict = graph.scaled_square(usual, "strict_factor", strict_weights * np.float32(share / strict_scale))
    free = graph.scaled_square(hidden, "free_factor", free_weights * np.float32((1.0 - share) / free_scale))
    both = graph.node("Add", strict, free)
    graph.node("ReduceMean", both, "first_axis", output="contributions", keepdims=0)
    last_axis = graph.constant("last_axis", np.array([1]))
    graph.node("ReduceSum", "contributions", last_axis, output="reconstruction_error", keepdims=0)
    rows = helper.make_tensor_value_info
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "autoencoder",
            [rows(INPUT, TensorProto.FLOAT, ["n", width])],
            [
                rows("reconstruction_error", TensorProto.FLOAT, ["n"]),
                rows("contributions", TensorProto.FLOAT, ["n", width]),
            ],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="ml_training",
    )
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


class OnnxNetwork:
    """An exported network as a function: [n, D] float32 -> (errors [n], contributions [n, D])."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        errors, contributions = self._session.run(list(OUTPUTS), {INPUT: rows})
        return errors, contributions


def prove_parity(network: Autoencoder, path: Path, rows: np.ndarray) -> float:
    """Run rows [n, D] through both; the largest difference, relative to max(1, error).

    Raises ExportMismatch beyond PARITY_TOLERANCE, or where contributions do not sum to the error.
    """
    errors, contributions = OnnxNetwork(path)(rows)
    with torch.no_grad():
        expected = network.cpu().contributions(torch.from_numpy(rows)).numpy()
    wanted = expected.sum(axis=1, dtype=np.float64)
    scale = np.maximum(1.0, np.abs(wanted))
    difference = max(
        float((np.abs(errors - wanted) / scale).max()),
        float((np.abs(contributions - expected).max(axis=1) / scale).max()),
        float((np.abs(contributions.sum(axis=1, dtype=np.float64) - errors) / scale).max()),
    )
    if not difference <= PARITY_TOLERANCE:
        raise ExportMismatch(
            f"{path.name}: expected torch's errors within {PARITY_TOLERANCE}, found a difference of "
            f"{difference:.3g} over {len(rows)} rows. The export is wrong and nothing was registered."
        )
    return difference


class _Graph:
    """Nodes and constants as they are added; names are numbers, so that the file is always the same."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray | np.generic) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        name = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def scaled_square(self, reconstruction: str, name: str, factor: np.ndarray) -> str:
        """Squared difference from the input, times a number for each column [D]."""
        residual = self.node("Sub", reconstruction, INPUT)
        return self.node("Mul", self.node("Mul", residual, residual), self.constant(name, factor))
