"""Sizes, weights, bounds and the error."""

import numpy as np
import pytest
import torch
from ml_training.autoencoder import Architecture, Autoencoder
from ml_training.weights import ColumnWeights


def network(seed: int = 0, **changes: object) -> Autoencoder:
    architecture = Architecture(n_features=4, hidden=(6, 5), bottleneck=2, **changes)  # type: ignore[arg-type]
    return Autoencoder(architecture, ColumnWeights.same(np.full(4, 0.25, dtype=np.float32)), seed)


def test_widths_are_mirrored() -> None:
    assert Architecture(9, hidden=(7, 5), bottleneck=3).layer_widths() == [9, 7, 5, 3, 5, 7, 9]


def test_same_seed_same_network_and_members_differ() -> None:
    one, two, other = network(3), network(3), network(4)
    for first, second in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(one.kernels[0], other.kernels[0])
    assert not torch.equal(one.kernels[0][0], one.kernels[0][1])


def test_contributions_sum_to_the_error() -> None:
    rows = torch.randn(10, 4, generator=torch.Generator().manual_seed(1))
    ours = network()
    parts = ours.contributions(rows)
    assert parts.shape == (10, 4)
    assert (parts >= 0).all()
    torch.testing.assert_close(parts.sum(dim=1), ours.reconstruction_error(rows))


def test_free_error_is_the_weighted_squared_difference_averaged_over_members() -> None:
    rows = torch.randn(5, 4, generator=torch.Generator().manual_seed(2))
    ours = network(members=2, strict_share=0.0)
    expected = ((ours(rows) - rows) ** 2 * 0.25).sum(dim=2).mean(dim=0)
    torch.testing.assert_close(ours.reconstruction_error(rows), expected)


def test_a_reconstruction_does_not_excuse_what_is_unusual() -> None:
    """The strict error of a far value is large even where the network writes it back perfectly."""
    rng = np.random.default_rng(0)
    usual = rng.normal(size=(500, 4)).astype(np.float32)
    ours = network(strict_share=1.0)
    ours.fit_usual(usual, np.array([True, False, False, False]))
    ours.forward = lambda rows: rows.unsqueeze(0)  # type: ignore[method-assign]
    typical = torch.tensor([[-1.0, 0.0, 0.0, 0.0]])
    assert ours.reconstruction_error(typical).item() == pytest.approx(0.0, abs=1e-2)
    parts = ours.contributions(torch.tensor([[1.0, 1.0, 0.0, 0.0]]))[0].detach().numpy()
    # One standard deviation is within the usual, but not where only large values are suspicious.
    assert parts[0] == pytest.approx(0.25 * (1.0 - np.quantile(usual[:, 0], 0.25)) ** 2, rel=1e-3)
    assert parts[1] == 0.0
    far = ours.contributions(torch.tensor([[-3.0, 3.0, 0.0, 0.0]]))[0].detach().numpy()
    assert far[1] == pytest.approx(0.25 * (3.0 - np.quantile(usual[:, 1], 0.9)) ** 2, rel=1e-3)
    # However low, it may be written back where low is harmless.
    assert far[0] == 0.0


def test_an_ordinary_row_has_an_error_of_about_one() -> None:
    rows = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    ours = network()
    ours.fit_usual(rows, np.full(4, False))
    ours.fit_scales(rows)
    assert ours.reconstruction_error(torch.from_numpy(rows)).mean().item() == pytest.approx(1.0, rel=1e-4)


def test_each_error_has_its_own_weights() -> None:
    only = np.eye(4, dtype=np.float32)
    rows = torch.randn(5, 4, generator=torch.Generator().manual_seed(3))
    ours = Autoencoder(Architecture(4, strict_share=0.5), ColumnWeights(only[0], only[1], only[2]), 0)
    parts = ours.contributions(rows)
    assert (parts[:, [0, 3]] == 0).all() and (parts[:, [1, 2]] > 0).all()
    # Training minimises the first column's residual alone.
    losses = ours.member_losses(rows, rows)
    torch.testing.assert_close(losses, (ours(rows) - rows)[..., 0].square())
    ours.fit_scales(rows.numpy())
    both = ours.contributions(rows).mean(dim=0)
    assert both[1].item() == pytest.approx(0.5, rel=1e-4) and both[2].item() == pytest.approx(0.5, rel=1e-4)


def test_wrong_number_of_weights_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected shape \(4,\)"):
        Autoencoder(Architecture(4), ColumnWeights.same(np.ones(3, dtype=np.float32)), 0)
