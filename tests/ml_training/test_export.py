"""ONNX computes what torch computes, from one file."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from ml_training.autoencoder import Architecture, Autoencoder
from ml_training.export import ExportMismatch, OnnxNetwork, export_onnx, prove_parity
from ml_training.weights import ColumnWeights


def network(**changes: object) -> Autoencoder:
    rng = np.random.default_rng(1)
    weights = ColumnWeights(*[rng.dirichlet(np.ones(30)).astype(np.float32) for _ in range(3)])
    architecture = Architecture(30, hidden=(12, 8), bottleneck=4, members=3, **changes)  # type: ignore[arg-type]
    made = Autoencoder(architecture, weights, 5)
    rows = rng.normal(size=(100, 30)).astype(np.float32)
    made.fit_usual(rows, np.arange(30) < 10)
    made.fit_scales(rows)
    return made


@pytest.mark.parametrize("changes", [{}, {"strict_share": 0.0}, {"strict_share": 1.0}])
def test_onnx_equals_torch(tmp_path: Path, changes: dict[str, object]) -> None:
    ours = network(**changes)
    path = tmp_path / "network.onnx"
    export_onnx(ours, path)
    rows = (np.random.default_rng(2).normal(size=(400, 30)) * 5).astype(np.float32)
    assert prove_parity(ours, path, rows) < 1e-5
    errors, contributions = OnnxNetwork(path)(rows)
    assert errors.shape == (400,) and contributions.shape == (400, 30)
    assert errors.dtype == contributions.dtype == np.float32
    one, _ = OnnxNetwork(path)(rows[:1])
    assert one[0] == pytest.approx(errors[0], rel=1e-6)


def test_weights_are_inside_the_one_file_and_it_is_always_the_same(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        export_onnx(network(), tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.onnx", "b.onnx"]
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    model = onnx.load(tmp_path / "a.onnx")
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert [value.name for value in model.graph.input] == ["features"]
    assert [value.name for value in model.graph.output] == ["reconstruction_error", "contributions"]


def test_a_wrong_export_is_noticed(tmp_path: Path) -> None:
    ours = network()
    export_onnx(ours, tmp_path / "network.onnx")
    with torch.no_grad():
        ours.kernels[1][0, 0, 0] += 0.5
    rows = np.random.default_rng(2).normal(size=(50, 30)).astype(np.float32)
    with pytest.raises(ExportMismatch, match="nothing was registered"):
        prove_parity(ours, tmp_path / "network.onnx", rows)
