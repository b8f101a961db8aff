import json
from typing import Any

import pytest
from artifact import pull_request
from model_serving.app import Application, create_app
from model_serving.http_protocol import Request
from model_serving.model import ServedModel
from model_serving.settings import Settings
from werkzeug.test import Client

SCORE = {
    "repo_name", "number", "reconstruction_error", "threshold", "is_anomaly", "anomaly_score", "reasons",
    "model_version", "request_id",
}  # fmt: skip


def as_document(pull: dict[str, Any], model: ServedModel) -> dict[str, Any]:
    """The same pull request in the collection's names, as JSON would hold it."""
    document = model.documents.from_rest(pull)
    return json.loads(json.dumps(document, default=lambda moment: moment.isoformat()))


def test_one_pull_request(client: Client, pull: dict[str, Any], model: ServedModel) -> None:
    answer = client.post("/predict", json=pull, headers={"X-Request-ID": "abc-1"})
    score = answer.get_json()
    assert answer.status_code == 200
    assert set(score) == SCORE
    document = model.documents.from_rest(pull)
    assert score["reconstruction_error"] == pytest.approx(
        float(model.scorer.run([document]).reconstruction_error[0])
    )
    assert score["is_anomaly"] == (score["reconstruction_error"] > score["threshold"])
    assert (score["request_id"], score["model_version"]) == ("abc-1", "1")
    assert score["reasons"] and set(score["reasons"][0]) == {"feature", "share", "value", "usual", "text"}


def test_a_list_is_answered_in_order(client: Client) -> None:
    pulls = [pull_request(number) for number in range(20)]
    scores = client.post("/predict", json=pulls).get_json()["scores"]
    assert [score["number"] for score in scores] == [pull["number"] for pull in pulls]
    alone = [client.post("/predict", json=pull).get_json()["reconstruction_error"] for pull in pulls]
    # How many rows ONNX Runtime gets at once shows in the last bits.
    assert [score["reconstruction_error"] for score in scores] == pytest.approx(alone, rel=1e-6)


def asked(body: Any, **headers: str) -> Request:
    given = {"content-type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request(
        "POST", b"/predict", "1.1", [(k.encode(), v.encode()) for k, v in given.items()], raw, True, 0
    )


def test_requests_that_arrive_together_are_answered_as_if_alone(application: Application) -> None:
    pulls = [pull_request(number) for number in range(5)]
    requests = [
        asked(pulls[0], x_request_id="first"),
        asked(pulls[1] | {"created_at": "x"}),
        asked(b"{"),
        asked(pulls[2], content_type="text/xml"),
        asked([pulls[3], pulls[4]]),
        asked(pulls[1], x_request_purpose="load-test"),
        asked(pulls[2], x_request_id="not plain"),
    ]
    answers = application.together(requests)
    assert [status for status, _, _ in answers] == [200, 422, 400, 415, 200, 200, 200]
    bodies = [json.loads(body) for _, _, body in answers]
    alone = [application.together([request])[0] for request in requests]

    for found, (_, _, body) in zip(bodies, alone, strict=True):
        again = json.loads(body)
        for one, other in zip(found.get("scores", [found]), again.get("scores", [again]), strict=True):
            assert one.pop("reconstruction_error", 0) == pytest.approx(
                other.pop("reconstruction_error", 0), rel=1e-6
            )
            for name in set(one) - {"request_id", "anomaly_score", "reasons"}:
                assert one[name] == other[name]
    assert "request_id" in bodies[4]["scores"][0]
    assert bodies[0]["request_id"] == "first" and bodies[6]["request_id"] != "not plain"
    assert len({bodies[5]["request_id"], bodies[6]["request_id"]}) == 2
    kept = [(item["number"], item["request_id"]) for item in application.parts.results.recent(50)]
    assert bodies[5]["request_id"] not in {request_id for _, request_id in kept}
    assert {number for number, _ in kept} == {pulls[i]["number"] for i in (0, 2, 3, 4)}


def test_a_fault_of_ours_with_one_does_not_fail_those_beside_it(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = application.parts.service
    score_apart = service.score_apart

    def fails(payloads: Any, request_ids: Any) -> Any:
        assert all(payload["number"] != 2 for payload in payloads)
        return score_apart(payloads, request_ids)

    pulls = [pull_request(number) | {"number": number} for number in (1, 2, 3)]
    monkeypatch.setattr(service, "score_apart", fails)
    answers = application.together([asked(pull) for pull in pulls])
    assert [status for status, _, _ in answers] == [200, 500, 200]
    assert b"number" not in answers[1][2]


def test_an_empty_list(client: Client) -> None:
    assert client.post("/predict", json=[]).get_json() == {"scores": []}


def test_both_forms_give_the_same_score(client: Client, pull: dict[str, Any], model: ServedModel) -> None:
    rest, ours = (client.post("/predict", json=body).get_json() for body in (pull, as_document(pull, model)))
    assert rest["reconstruction_error"] == ours["reconstruction_error"]


def test_history_of_the_caller_counts(client: Client, pull: dict[str, Any]) -> None:
    plain = client.post("/predict", json=pull).get_json()
    told = client.post("/predict", json=pull | {"history": {"author_opened": 500}}).get_json()
    assert plain["reconstruction_error"] != told["reconstruction_error"]
    null = client.post("/predict", json=pull | {"history": {"author_opened": None}}).get_json()
    assert null["reconstruction_error"] == plain["reconstruction_error"]


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"title": 5}, 422, "title"),
        ({"created_at": "yesterday"}, 422, "created_at"),
        ({"created_at": None}, 422, "created_at"),
        ({"additions": -1}, 422, "additions"),
        ({"additions": 1.5}, 422, "additions"),
        ({"additions": 10**30}, 422, "additions"),
        ({"base": {"repo": {"full_name": "no-slash"}}}, 422, "base.repo.full_name"),
        ({"user": {"login": ["x"]}}, 422, "user.login"),
        ({"labels": [{"name": 3}]}, 422, "labels[0].name"),
        ({"history": {"author_opened": -3}}, 422, "history"),
        ({"history": {"author_age": 3}}, 422, "history"),
        ({"base": None}, 422, "repo_name"),
    ],
)
def test_a_bad_value_is_named(
    client: Client, pull: dict[str, Any], change: dict[str, Any], status: int, field: str
) -> None:
    answer = client.post("/predict", json=pull | change)
    problem = answer.get_json()
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert problem["field"].startswith(field)
    assert problem["status"] == status and problem["detail"] and problem["type"].startswith("/docs#problem-")


def test_one_bad_item_refuses_the_list_with_its_index(client: Client, pull: dict[str, Any]) -> None:
    for bad in ({"title": 5}, {"created_at": "x"}):
        problem = client.post("/predict", json=[pull, pull, pull | bad]).get_json()
        assert (problem["status"], problem["index"]) == (422, 2)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"nonsense", b'{"title": NaN}', b'{"title": "\\ud800"}', b'{"title": "\xff"}', b"\xef\xbb\xbf{}",
        b'{"a":' * 100_000, b'{"x":' + b"[" * 100_000, '{"title": "x"}'.encode("utf-16"),
    ],
)  # fmt: skip
def test_what_is_no_json_is_a_400(client: Client, body: bytes) -> None:
    answer = client.post("/predict", data=body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.get_json()["type"] == "/docs#problem-no-json"


@pytest.mark.parametrize("body", [b"5", b'"x"', b"null", b"[5]", b"[[]]", b"[" * 100_000])
def test_json_of_another_kind_is_a_422(client: Client, body: bytes) -> None:
    assert client.post("/predict", data=body, content_type="application/json").status_code == 422


@pytest.mark.parametrize(
    ("body", "detail", "field", "index"),
    [
        # `body` is a pull request's own text: a problem with the whole request or item names no field.
        (b"[null]", "[0]: expected object, found null", None, 0),
        (b"5", "the body: expected object | array, found 5", None, None),
        (b'{"number": 1e999}', "number: expected a number in range", "number", None),
        (b'[{"number": 1e999}]', "[0].number: expected a number in range", "number", 0),
        (b'{"history": {"author_opened": -1}}', "history: expected integer >= 0", "history", None),
        (b'{"body": 5}', "body: expected text | null, found 5", "body", None),
    ],
)
def test_a_problem_names_the_field_that_is_wrong(
    client: Client, body: bytes, detail: str, field: str | None, index: int | None
) -> None:
    problem = client.post("/predict", data=body, content_type="application/json").get_json()
    assert (problem["detail"], problem.get("field"), problem.get("index")) == (detail, field, index)


def test_other_media_types_and_packed_bodies_are_refused(client: Client, pull: dict[str, Any]) -> None:
    body = json.dumps(pull)
    assert client.post("/predict", data=body, content_type="text/xml").status_code == 415
    packed = client.post(
        "/predict", data=body, content_type="application/json", headers={"Content-Encoding": "gzip"}
    )
    assert packed.status_code == 415 and packed.get_json()["field"] == "Content-Encoding"
    assert (
        client.post("/predict", data=body, content_type="application/vnd.x+json; charset=utf-8").status_code
        == 200
    )


def test_too_many_items(model: ServedModel, pull: dict[str, Any]) -> None:
    client = Client(create_app(Settings(max_items=3), model))
    assert client.post("/predict", json=[pull] * 3).status_code == 200
    answer = client.post("/predict", json=[pull] * 4)
    assert answer.status_code == 413 and "at most 3" in answer.get_json()["detail"]


@pytest.mark.parametrize("value", [b'"\xff\xfe"', b"1e999", b"9" * 5_000, b'{"a":' * 2_000])
def test_unknown_fields_may_hold_anything(model: ServedModel, pull: dict[str, Any], value: bytes) -> None:
    client = Client(create_app(Settings(unknown_fields="refuse"), model))
    body = json.dumps(pull).encode()[:-1] + b',"zz":' + value + b"}"
    assert client.post("/predict", data=body, content_type="application/json").status_code in {200, 400, 422}


def test_unknown_fields_are_refused_on_request(model: ServedModel, pull: dict[str, Any]) -> None:
    client = Client(create_app(Settings(unknown_fields="refuse"), model))
    ours = as_document(pull, model)
    assert client.post("/predict", json=ours).status_code == 200
    assert client.post("/predict", json=pull | {"new_at_github": 1}).status_code == 200
    answer = client.post("/predict", json=[ours, ours | {"additons": 1}])
    assert answer.status_code == 422
    assert (answer.get_json()["field"], answer.get_json()["index"]) == ("additons", 1)


def test_a_wrong_request_id_is_replaced(client: Client, pull: dict[str, Any]) -> None:
    for given in ("a b", "x" * 200, "<script>"):
        score = client.post("/predict", json=pull, headers={"X-Request-ID": given}).get_json()
        assert score["request_id"] != given


def test_without_a_model_nothing_is_ready() -> None:
    client = Client(create_app(Settings()))
    assert client.get("/health").status_code == 200
    assert client.get("/ready").status_code == 503
    assert client.post("/predict", json=pull_request(1)).status_code == 503
    assert client.get("/model").status_code == 503
    assert client.get("/v2/health/ready").status_code == 503
    assert client.get("/").status_code == 200


def test_a_fault_of_ours_is_a_500_without_its_cause(
    model: ServedModel, pull: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(Settings(), model)
    monkeypatch.setattr(app.parts.service, "score_apart", lambda *a, **k: 1 / 0)
    answer = Client(app).post("/predict", json=pull)
    assert answer.status_code == 500
    assert "ZeroDivision" not in answer.get_data(as_text=True)


def test_other_methods_and_paths(client: Client) -> None:
    answer = client.get("/predict")
    assert answer.status_code == 405 and "POST" in answer.headers["Allow"]
    assert answer.content_type == "application/problem+json"
    assert client.get("/nothing").status_code == 404
    assert client.post("/predict/", json={}).status_code in {404, 422}


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"additions": -1}, "additions: expected integer >= 0, found -1"),
        ({"additions": "many"}, "additions: expected integer | null, found text 'many'"),
        ({"additions": 1.5}, "additions: expected integer | null, found 1.5"),
        ({"title": ["x"]}, "title: expected text | null, found an array"),
        ({"labels": [{"name": 5}]}, "labels[0].name: expected text | null, found 5"),
        ({"history": {"author_opened": "x"}}, "history: expected integer | null, found text"),
        ({"title": {"a": {}}}, "title: expected text | null, found an object"),
        ({"author_association": True}, "author_association: expected text | null, found true"),
        ({"state": ["x" * 500]}, "state: expected text | null, found an array"),
        ({"additions": "x" * 500}, f"additions: expected integer | null, found text '{'x' * 40}'…"),
    ],
)
def test_a_problem_says_what_was_expected_and_found(
    client: Client, pull: dict[str, Any], change: dict[str, Any], detail: str
) -> None:
    assert client.post("/predict", json=pull | change).get_json(force=True)["detail"] == detail
    listed = client.post("/predict", json=[pull, pull | change]).get_json(force=True)
    assert listed["detail"] == f"[1].{detail}" and listed["index"] == 1


def test_what_is_no_pull_request_at_all(client: Client) -> None:
    def said(data: bytes) -> str:
        return str(
            client.post("/predict", data=data, content_type="application/json").get_json(force=True)["detail"]
        )

    assert said(b"") == "the body is empty, expected JSON"
    assert said(b'"x"') == "the body: expected object | array, found text 'x'"
    assert said(b"[5]") == "[0]: expected object, found 5"
    assert client.get("/predict").get_json(force=True)["detail"].endswith("it takes OPTIONS, POST")
    assert "/docs" in client.get("/nothing").get_json(force=True)["detail"]


@pytest.mark.parametrize(
    ("field", "entry", "most"),
    [
        ("files", {"filename": "a"}, 3_000),
        ("labels", {"name": "a"}, 1_000),
        ("assignees", {"login": "a"}, 1_000),
    ],
)
def test_lists_within_a_pull_request_are_bounded(
    client: Client, pull: dict[str, Any], field: str, entry: dict[str, str], most: int
) -> None:
    assert client.post("/predict", json=pull | {field: [entry] * most}).status_code == 200
    answer = client.post("/predict", json=[pull, pull | {field: [entry] * (most + 1)}])
    problem = answer.get_json(force=True)
    assert (answer.status_code, problem["field"], problem["index"]) == (422, field, 1)
    assert (problem["expected"], problem["found"]) == (f"at most {most} entries", f"{most + 1} entries")


@pytest.mark.parametrize("value", ["5", "{}", '"x"', json.dumps(["a"] * 1_001)])
def test_odd_lists_by_columns_are_refused(client: Client, value: str) -> None:
    columns = {"repo_name": "a/b", "created_at": "2026-11-22T10:00:00Z", "labels": value}
    inputs = [
        {"name": name, "shape": [1], "datatype": "BYTES", "data": [data]} for name, data in columns.items()
    ]
    answer = client.post("/v2/models/pr-anomaly-autoencoder/infer", json={"inputs": inputs})
    assert answer.status_code == 422 and answer.get_json(force=True)["field"] == "labels"
