"""The autoencoder's weights, run by ONNX Runtime with one thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

OUTPUTS = ["reconstruction_error", "contributions"]


class Network:
    """network.onnx as a function: [n, D] float32 -> (reconstruction_error [n], contributions [n, D]), float32.

    The file is read at once; the session is made by `open`, after gunicorn's fork, because its thread pools do not
    survive one. Until then a call raises RuntimeError.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.weights = file.read_bytes()
        self._run: Callable[[list[str], dict[str, np.ndarray]], Any] | None = None

    def open(self) -> None:
        """Make the session; raises ValueError naming the file when ONNX Runtime refuses it."""
        # Without this, ONNX Runtime 1.32 writes a file into the temporary folder and reports to Microsoft.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # A worker is one core's worth of work; more threads would only take turns with the other workers.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(self.weights, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own classes are not exported
            raise ValueError(f"{self.file} is no network that ONNX Runtime runs: {error}") from error
        names = [output.name for output in session.get_outputs()]
        if missing := sorted(set(OUTPUTS) - set(names)):
            raise ValueError(f"{self.file} has the outputs {names}, expected also {missing}")
        self._run = session.run

    def __call__(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self._run is None:
            raise RuntimeError("the network was not opened in this process")
        error, contributions = self._run(OUTPUTS, {"features": matrix})
        return error, contributions
