import json
import shutil
import sys
from pathlib import Path

import pytest
from artifact import pull_request
from model_serving.model import BrokenModel, ServedModel, load_model


@pytest.fixture
def copy(tmp_path: Path, model_folder: Path) -> Path:
    return shutil.copytree(model_folder, tmp_path / "copy")


def test_a_model_proves_its_golden_request(model_folder: Path) -> None:
    model = load_model("m", "7", model_folder)
    model.open()
    assert model.version == "7"
    assert len(model.columns) > len(model.features) > 10


def test_two_versions_stand_side_by_side(model_folder: Path, other_model_folder: Path) -> None:
    one, two = load_model("m", "1", model_folder), load_model("m", "2", other_model_folder)
    one.open()
    two.open()
    document = one.documents.from_rest(pull_request(5))
    errors = [m.scorer.run([document]).reconstruction_error[0] for m in (one, two)]
    assert errors[0] != errors[1]
    assert one.documents is not two.documents


def test_closing_forgets_the_feature_code_but_not_what_is_in_use(model_folder: Path) -> None:
    model = load_model("m", "1", model_folder)
    model.open()
    package = model.documents.__name__.rpartition(".")[0]
    model.close()
    assert not [name for name in sys.modules if name.startswith(package)]
    assert model.scorer.prove_golden() > 0


@pytest.mark.parametrize("missing", ["network.onnx", "history.npz", "golden.json"])
def test_a_missing_file_is_named(copy: Path, missing: str) -> None:
    (copy / "artifacts" / missing).unlink()
    with pytest.raises(BrokenModel, match=f"expected {missing}, found none"):
        load_model("m", "1", copy)


def test_a_wrong_golden_score_is_refused(copy: Path) -> None:
    file = copy / "artifacts" / "golden.json"
    golden = json.loads(file.read_text())
    file.write_text(json.dumps(golden | {"reconstruction_error": golden["reconstruction_error"] * 1.001}))
    model = load_model("m", "1", copy)
    with pytest.raises(BrokenModel, match="golden request"):
        model.open()


@pytest.mark.parametrize("name", ["network.onnx", "preprocessor.json", "history.npz", "card.json"])
def test_a_cut_off_file_is_refused(copy: Path, name: str) -> None:
    file = copy / "artifacts" / name
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(BrokenModel, match="Model m version 1"):
        load_model("m", "1", copy).open()


def test_code_that_does_not_import_is_refused_and_leaves_nothing(copy: Path) -> None:
    (copy / "code" / "pr_features" / "scoring.py").write_text("import nothing_of_this_name\n")
    before = set(sys.modules)
    with pytest.raises(BrokenModel, match="nothing_of_this_name"):
        load_model("m", "1", copy)
    assert not [name for name in set(sys.modules) - before if name.startswith("pr_features_")]


def test_loading_writes_nothing_into_the_artifact(copy: Path) -> None:
    load_model("m", "1", copy).open()
    assert not list(copy.rglob("__pycache__"))


def test_the_network_is_refused_before_it_is_opened(model_folder: Path) -> None:
    model: ServedModel = load_model("m", "1", model_folder)
    with pytest.raises(RuntimeError, match="not opened in this process"):
        model.scorer.prove_golden()
