import json
from typing import Any

import pytest
from artifact import pull_request
from jsonschema import Draft202012Validator
from model_serving.model import ServedModel
from referencing import Registry
from referencing.jsonschema import DRAFT202012
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


def test_every_route_is_described_and_every_description_is_a_route(
    document: dict[str, Any], application: Any
) -> None:
    pages = {"/", "/docs", "/assets/<name>"}
    routes = {
        (rule.rule, method.lower())
        for rule in application.flask.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.rule not in pages and "<version>" not in rule.rule
    }
    described = {
        (path.replace("pr-anomaly-autoencoder", "<name>"), method)
        for path, methods in document["paths"].items()
        for method in methods
    }
    assert described == routes


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
