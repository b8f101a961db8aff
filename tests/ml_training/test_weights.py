"""Weights of blocks, shared by their columns."""

import numpy as np
import pytest
from ml_training.weights import BlockWeights, column_weights


def test_a_block_shares_its_weight_equally() -> None:
    weights = column_weights(["a", "a", "b", "text", "text", "text"], {"text": 0.5})
    assert weights.dtype == np.float32
    assert weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(weights * 2.5, [0.5, 0.5, 1.0, 1 / 6, 1 / 6, 1 / 6], rtol=1e-6)


@pytest.mark.parametrize("weights", [{"a": -1.0}, {"a": 0.0, "b": 0.0}])
def test_weights_that_weigh_nothing_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="block weights"):
        column_weights(["a", "b"], weights)


def test_the_errors_differ_from_the_loss_only_where_they_say_so() -> None:
    weights = BlockWeights({"a": 3.0}, strict={"b": 3.0}, free={"a": 0.0}).columns(["a", "b"])
    np.testing.assert_allclose(weights.learned, [0.75, 0.25])
    np.testing.assert_allclose(weights.strict, [0.5, 0.5])
    np.testing.assert_allclose(weights.free, [0.0, 1.0])


def test_flat_parameters_and_back() -> None:
    weights = BlockWeights({"a": 3.0}, strict={"b_c": 2.0}, free={"a": 0.0})
    params = weights.params()
    assert params == {"block_weight_a": 3.0, "strict_weight_b_c": 2.0, "free_weight_a": 0.0}
    assert BlockWeights.from_params({**params, "hidden": (3, 2), "strict_share": 0.5}) == weights
