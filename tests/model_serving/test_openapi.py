import hashlib
import hmac
import json
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from artifact import pull_request
from jsonschema import Draft202012Validator
from model_serving.app import Parts, create_app
from model_serving.metrics import Metrics
from model_serving.model import BrokenModel, ServedModel
from model_serving.payloads import LISTS, AnyPullRequest, GithubPullRequest, PullRequestDocument
from model_serving.reloading import Outcome
from model_serving.results import Results
from model_serving.service import Service
from model_serving.settings import Settings
from model_serving.shared_state import WorkerState
from model_serving.simulation import Simulation
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from stage_runtime.exits import ServiceUnreachable, UnusableInput
from werkzeug.test import Client


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    answer = client.get("/openapi.json")
    assert answer.status_code == 200
    return answer.get_json()


def validator(document: dict[str, Any], schema: str) -> Draft202012Validator:
    registry = Registry().with_resource("urn:api", DRAFT202012.create_resource(document))
    return Draft202012Validator({"$ref": f"urn:api#{schema}"}, registry=registry)


def component(document: dict[str, Any], name: str) -> Draft202012Validator:
    return validator(document, f"/components/schemas/{name}")


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    text = json.dumps(document)
    for part in text.split('"$ref": "#/components/schemas/')[1:]:
        assert part.partition('"')[0] in document["components"]["schemas"]
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


# Pages for people and what they are made of: no part of the interface.
PAGES = {"/", "/docs", "/assets/<name>"}
MODEL = "pr-anomaly-autoencoder"


def test_every_route_is_described_and_every_description_is_a_route(
    document: dict[str, Any], application: Any
) -> None:
    routes = {
        (rule.rule.replace("<name>", MODEL).replace("<version>", "{version}"), method.lower())
        for rule in application.flask.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.rule not in PAGES
    }
    described = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert described == routes
    names = [
        operation["operationId"] for methods in document["paths"].values() for operation in methods.values()
    ]
    assert len(names) == len(set(names))


def conforms(document: dict[str, Any], method: str, path: str, answer: Any) -> None:
    """The answer's status, media type and body are those that the document gives for this path."""
    responses = document["paths"][path][method]["responses"]
    assert str(answer.status_code) in responses, (method, path, answer.status_code)
    content = responses[str(answer.status_code)].get("content", {})
    media = {name.partition(";")[0]: described for name, described in content.items()}
    assert answer.mimetype in media, (method, path, answer.status_code, answer.mimetype)
    if answer.is_json or answer.mimetype == "application/problem+json":
        place = f"/paths/{path.replace('~', '~0').replace('/', '~1')}/{method}/responses/{answer.status_code}/content/"
        place += answer.mimetype.replace("/", "~1") + "/schema"
        validator(document, place).validate(json.loads(answer.get_data()))


def every_call(document: dict[str, Any], client: Client, pull: dict[str, Any]) -> set[tuple[str, int]]:
    """Call each described operation once, well or badly; what was answered, all of it as described."""
    columns = [
        {"name": name, "shape": [1], "datatype": "BYTES", "data": [value]}
        for name, value in (("repo_name", "o/n"), ("created_at", pull["created_at"]))
    ]
    event = json.dumps({"action": "opened", "pull_request": pull}).encode()
    digest = hmac.new(b"secret", event, hashlib.sha256).hexdigest()
    hook = {
        "X-Hub-Signature-256": f"sha256={digest}",
        "X-GitHub-Event": "pull_request",
        "X-GitHub-Delivery": "d",
    }
    good: dict[str, tuple[bytes, dict[str, str]]] = {
        "/predict": (json.dumps(pull).encode(), {}),
        "/webhooks/github": (event, hook),
        "/simulate-drift": (b'{"drift_type": "none"}', {}),
        "/reload": (b"", {"Authorization": "Bearer token"}),
    }
    seen = set()
    for path, methods in document["paths"].items():
        for method in methods:
            for version in ("1", "none") if "{version}" in path else ("",):
                address = path.replace("{version}", version)
                if method == "get":
                    answers = [client.get(address)]
                else:
                    infer = (json.dumps({"inputs": columns}).encode(), {})
                    body, headers = good.get(path, infer)
                    answers = [
                        client.open(
                            address, method=method.upper(), data=data, headers=headers, content_type=kind
                        )
                        for data, kind in (
                            (body, "application/json"),
                            (b"{", "application/json"),
                            (b"[5]", "application/json"),
                            (body, "text/plain"),
                        )
                    ]
                for answer in answers:
                    conforms(document, method, path, answer)
                    seen.add((path, answer.status_code))
    return seen


def test_every_answer_is_described(
    document: dict[str, Any], model: ServedModel, pull: dict[str, Any], tmp_path: Path
) -> None:
    settings = Settings(github_webhook_secret="secret", reload_token="token")
    metrics = Metrics()

    class Reloads:
        """Ends as it is told: an outcome, or the error of a registry that cannot be had here."""

        ending: Any = None

        def reload(self) -> Any:
            if isinstance(self.ending, Exception):
                raise self.ending
            return self.ending

        def stop(self) -> None:
            pass

    reloads = Reloads()
    workers = [WorkerState(1, 1, "2", True, None, 0.0)]
    service = Service(settings, model)
    simulation = Simulation(tmp_path)
    parts = Parts(service, metrics, Results(metrics), reloader=reloads, simulation=simulation)  # type: ignore[arg-type]
    client = Client(create_app(settings, parts=parts))
    reloads.ending = Outcome(True, "2", "1", True, workers)
    seen = every_call(document, client, pull)
    endings = {
        202: Outcome(True, "2", "1", False, workers),
        409: BrokenModel("no"),
        422: UnusableInput("no"),
        503: ServiceUnreachable("no"),
    }
    for status, reloads.ending in endings.items():
        answer = client.post("/reload", headers={"Authorization": "Bearer token"})
        assert answer.status_code == status
        conforms(document, "post", "/reload", answer)
    conforms(document, "post", "/reload", client.post("/reload"))
    service.draining = True
    seen |= every_call(document, client, pull)
    service.draining, service.model = False, None
    seen |= every_call(document, client, pull)
    seen |= every_call(document, Client(create_app(Settings(), model)), pull)
    statuses = {path: {status for at, status in seen if at == path} for path in document["paths"]}
    assert statuses["/predict"] == {200, 400, 415, 422, 503}
    assert statuses["/webhooks/github"] == {200, 401, 403, 415, 503}
    assert statuses["/v2/health/ready"] == statuses["/ready"] == {200, 503}
    assert statuses[f"/v2/models/{MODEL}/versions/{{version}}/ready"] == {200, 404, 503}


def test_errors_of_the_protocol_have_its_name_for_the_reason(client: Client) -> None:
    for answer in (client.post(f"/v2/models/{MODEL}/infer", json={}), client.get("/v2/models/another")):
        problem = json.loads(answer.get_data())
        assert problem["error"] == problem["detail"]
    assert "error" not in client.post("/predict", json={"title": 5}).get_json(force=True)


def members(hint: Any) -> set[Any]:
    """The parts of a union, without what narrows them."""
    if get_origin(hint) is Annotated:
        return members(get_args(hint)[0])
    if isinstance(hint, UnionType):
        return {part for one in get_args(hint) for part in members(one)}
    if get_origin(hint) is list:
        return {("list", part) for part in members(get_args(hint)[0])}
    return {get_origin(hint) or hint}


def test_what_decodes_either_form_knows_every_field_of_both() -> None:
    either = get_type_hints(AnyPullRequest, include_extras=True)
    forms = [get_type_hints(form, include_extras=True) for form in (GithubPullRequest, PullRequestDocument)]
    assert set(either) == set(forms[0]) | set(forms[1])
    for name, hint in either.items():
        wanted = {part for form in forms if name in form for part in members(form[name])}
        assert members(hint) - {type(None)} == wanted - {type(None)}, name


def test_answers_are_as_described(client: Client, document: dict[str, Any], pull: dict[str, Any]) -> None:
    component(document, "GithubPullRequest").validate(pull)
    component(document, "Score").validate(client.post("/predict", json=pull).get_json())
    component(document, "Scores").validate(client.post("/predict", json=[pull, pull]).get_json())
    component(document, "ProblemObject").validate(client.post("/predict", json={"title": 5}).get_json())
    component(document, "ModelMetadata").validate(client.get("/v2/models/pr-anomaly-autoencoder").get_json())


def test_the_example_is_scored(client: Client, document: dict[str, Any]) -> None:
    content = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    component(document, "PullRequestDocument").validate(content["example"])
    assert client.post("/predict", json=content["example"]).status_code == 200
    infer = document["paths"][f"/v2/models/{MODEL}/infer"]["post"]["requestBody"]["content"][
        "application/json"
    ]
    assert client.post(f"/v2/models/{MODEL}/infer", json=infer["example"]).status_code == 200


@pytest.mark.parametrize(
    "change", [{"title": 5}, {"additions": -1}, {"number": 0}, {"user": 3}, {"labels": [4]}]
)
def test_what_the_schema_refuses_is_refused(
    client: Client, document: dict[str, Any], pull: dict[str, Any], change: dict[str, Any]
) -> None:
    assert not component(document, "GithubPullRequest").is_valid(pull | change)
    assert client.post("/predict", json=pull | change).status_code == 422


def test_documents_of_fetching_are_as_described(document: dict[str, Any], model: ServedModel) -> None:
    shaped = model.documents.from_rest(pull_request(5))
    text = json.dumps(shaped, default=lambda moment: moment.isoformat())
    component(document, "PullRequestDocument").validate(json.loads(text))


def test_the_page_needs_nothing_from_outside(client: Client) -> None:
    answer = client.get("/docs")
    text = answer.get_data(as_text=True)
    assert "https://" not in text and "http://" not in text
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    for path in ("/assets/docs.js", "/assets/style.css"):
        asset = client.get(path)
        assert asset.status_code == 200 and "http" not in asset.get_data(as_text=True)
    assert client.get("/assets/icon.svg").content_type.startswith("image/svg+xml")
    assert client.get("/assets/../app.py").status_code == 404
    assert client.get("/assets/app.py").status_code == 404


def test_every_problem_is_explained(client: Client, repository: Any) -> None:
    import re

    text = client.get("/docs").get_data(as_text=True)
    source = "".join(
        file.read_text() for file in (repository / "model_serving/src/model_serving").glob("*.py")
    )
    kinds = set(re.findall(r'HTTPStatus\.[A-Z_]+,\s*"([a-z-]+)"', source))
    assert len(kinds) > 10
    assert {kind for kind in kinds if f'id="problem-{kind}"' not in text} == set()


@pytest.mark.parametrize("form", ["GithubPullRequest", "PullRequestDocument"])
def test_the_lengths_of_lists_are_said(document: dict[str, Any], form: str) -> None:
    fields = document["components"]["schemas"][form]["properties"]
    for field, most in LISTS.items():
        if field in fields:
            assert [kind["maxItems"] for kind in fields[field]["anyOf"] if kind["type"] == "array"] == [most]
    assert "files" in fields and "labels" in fields
