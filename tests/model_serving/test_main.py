"""Starting: what is wrong is said in one line, with the right exit code."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any


def run(tmp_path: Path, **settings: Any) -> tuple[int, list[dict[str, Any]]]:
    environ = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "PORT": "0"}
    environ |= {name.upper(): str(value) for name, value in settings.items()}
    done = subprocess.run(
        [sys.executable, "-m", "model_serving"], env=environ, capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in done.stdout and done.stderr == ""
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_help_names_every_setting() -> None:
    done = subprocess.run([sys.executable, "-m", "model_serving", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "--model-alias" in done.stdout and "MODEL_ALIAS" in done.stdout


def test_a_broken_model_is_3(tmp_path: Path, model_folder: Path) -> None:
    folder = shutil.copytree(model_folder, tmp_path / "model")
    (folder / "artifacts" / "network.onnx").write_bytes(b"no network")
    code, events = run(tmp_path, model_dir=folder)
    assert code == 3
    assert any("network.onnx is no network" in event["event"] for event in events)


def test_a_wrong_golden_score_is_3(tmp_path: Path, model_folder: Path) -> None:
    folder = shutil.copytree(model_folder, tmp_path / "model")
    golden = json.loads((folder / "artifacts" / "golden.json").read_text())
    (folder / "artifacts" / "golden.json").write_text(json.dumps(golden | {"reconstruction_error": 123.0}))
    code, events = run(tmp_path, model_dir=folder, workers=2)
    assert code == 3
    assert any("golden request scored" in event["event"] for event in events)


def test_no_model_is_3_and_no_registry_is_1(tmp_path: Path) -> None:
    code, events = run(tmp_path, model_dir=tmp_path / "nothing")
    assert code == 3 and "expected network.onnx" in events[0]["event"]
    code, events = run(tmp_path, mlflow_tracking_uri="http://127.0.0.1:9")
    assert code == 1 and "did not answer" in events[0]["event"]


def test_a_wrong_setting_is_2(tmp_path: Path) -> None:
    code, events = run(tmp_path, port="http")
    assert code == 2 and "PORT" in events[0]["event"]
    code, events = run(tmp_path, mlflow_tracking_uri="mysql://x/y")
    assert code == 2


def test_an_unusable_data_root_is_2(tmp_path: Path, model_folder: Path) -> None:
    code, events = run(tmp_path, model_dir=model_folder, data_root="ftp://x/y")
    assert code == 2 and "DATA_ROOT" in events[0]["event"]


def test_a_mongo_uri_that_the_driver_refuses_is_2_and_not_shown(tmp_path: Path, model_folder: Path) -> None:
    for uri in (
        "mongodb://user:secret/pw@host/x",
        "foo://user:secret@host",
        "mongodb://user:p?secret=pw@host/",
        "mongodb://host:secret",
        "mongodb://host/?tls=true&tlsCAFile=/secret",
    ):
        code, events = run(tmp_path, model_dir=model_folder, mongo_uri=uri)
        assert code == 2 and "MONGO_URI" in events[0]["event"], events
        assert "secret" not in json.dumps(events) and "pw@" not in json.dumps(events)
    code, events = run(tmp_path, model_dir=model_folder, mongo_uri="mongodb://127.0.0.1:9", mongo_db="a b")
    assert code == 2 and "MONGO_DB" in events[0]["event"]


def test_an_unusable_state_dir_is_2(tmp_path: Path, model_folder: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full" / "scores" / "folder").mkdir(parents=True)
    for folder in (tmp_path / "file", Path("/proc/nope"), tmp_path / "full"):
        code, events = run(tmp_path, model_dir=model_folder, state_dir=folder)
        assert code == 2 and "STATE_DIR" in events[-2]["event"] and str(folder) in events[-2]["event"]


def test_what_the_image_installs_is_small() -> None:
    files = [file.lstat() for file in Path(sys.prefix).rglob("*") if not file.is_dir()]
    assert 100e6 < sum(found.st_blocks * 512 for found in files) < 450e6


def test_no_temporary_folder_is_left(tmp_path: Path, start: Any) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    service = start(state_dir="", tmpdir=temporary)
    assert list(temporary.glob("model-serving-*"))
    assert service.terminate() == 0
    assert list(temporary.iterdir()) == []


def test_ready_within_three_seconds(start: Any) -> None:
    # Processor time of all of it: what the clock says depends on what else runs on the machine.
    assert start(workers=2).cpu_seconds() < 3.0
