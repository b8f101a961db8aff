"""The declared search."""

from pathlib import Path

import pytest
from ml_training.candidates import load_candidates
from stage_runtime.exits import WrongSettings


def test_the_packages_sets_load() -> None:
    (standard,) = load_candidates("standard", {})
    assert standard.sized(40).n_features == 40
    assert standard.params()["candidate"] == "standard"
    assert standard.params()["free_weight_author"] == 0
    assert len(load_candidates("search", {})) > 3


def test_own_values_beat_defaults_and_overrides_beat_both(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        "[x.defaults]\nhidden = [9]\nbatch_size = 5\nblock_weights = { text = 0 }\n"
        '[[x.candidates]]\nname = "a"\n[[x.candidates]]\nname = "b"\nhidden = [7, 3]\n'
    )
    a, b = load_candidates(str(path), {"batch_size": 11})
    assert (a.architecture["hidden"], b.architecture["hidden"]) == ((9,), (7, 3))
    assert a.options.batch_size == b.options.batch_size == 11
    assert a.params()["block_weight_text"] == 0


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('[[x.candidates]]\nname = "a"\nlearning = 1\n', "unknown keys learning"),
        ("[[x.candidates]]\nhidden = [1]\n", "no name"),
        ("[x.defaults]\nhidden = [1]\n", "at least one candidate"),
        ('[[x.candidates]]\nname = "a"\n[[x.candidates]]\nname = "a"\n', "different names"),
        ("[[x", "readable TOML"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(WrongSettings, match=problem):
        load_candidates(str(path), {})


def test_an_unknown_set_names_the_known_ones() -> None:
    with pytest.raises(WrongSettings, match="standard"):
        load_candidates("nothing", {})
