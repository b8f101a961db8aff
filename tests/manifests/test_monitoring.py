"""What Prometheus is told to scrape is there: the operator's own kinds have no schema that a linter could ask."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from rendering import ADDITIONS, GOLDEN, render, render_addition, without_release


@pytest.fixture(scope="module")
def monitor(repository: Path) -> dict[str, Any]:
    """The one ServiceMonitor."""
    text = render_addition(repository / "argo-apps" / "components" / "monitoring")
    (found,) = [one for one in yaml.safe_load_all(text) if one["kind"] == "ServiceMonitor"]
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def scraped(repository: Path, monitor: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The Services that its selector finds, by name. A selector that it does not know selects nothing here."""
    selector = monitor["spec"]["selector"]
    assert set(selector) <= {"matchLabels", "matchExpressions"}
    objects = list(yaml.safe_load_all(render(repository / "argo-apps" / "base")))
    found = {}
    for one in (o for o in objects if o["kind"] == "Service"):
        labels = one["metadata"]["labels"]
        among = selector["matchExpressions"]
        if all(labels.get(key) == value for key, value in selector["matchLabels"].items()) and all(
            each["operator"] == "In" and labels.get(each["key"]) in each["values"] for each in among
        ):
            found[one["metadata"]["name"]] = one
    return found


@pytest.mark.parametrize("folder", ADDITIONS)
def test_what_is_added_to_the_base_is_the_stored_rendering(repository: Path, folder: str) -> None:
    found = without_release(render_addition(repository / "argo-apps" / folder))
    command = "python tests/manifests/write_golden.py"
    assert found == (GOLDEN / f"{folder}.yaml").read_text(), f"{folder} changed: review it and run {command}"


def test_every_component_is_rendered_by_some_test(repository: Path) -> None:
    files = (repository / "argo-apps" / "components").glob("*/kustomization.yaml")
    components = {file.parent.name for file in files if "kind: Component" in file.read_text()}
    assert {f"components/{name}" for name in components} == set(ADDITIONS)


def test_both_services_are_scraped_and_no_pod_twice(
    monitor: dict[str, Any], scraped: dict[str, dict[str, Any]]
) -> None:
    assert set(monitor["spec"]) == {"selector", "endpoints"}
    assert set(scraped) == {"model-serving-active", "model-serving-preview"}
    assert {one["metadata"]["namespace"] for one in scraped.values()} == {monitor["metadata"]["namespace"]}


def test_the_endpoint_is_a_port_of_the_services_and_a_route_of_the_service(
    repository: Path, monitor: dict[str, Any], scraped: dict[str, dict[str, Any]]
) -> None:
    (endpoint,) = monitor["spec"]["endpoints"]
    assert set(endpoint) == {"port", "path", "interval"}
    for name, service in scraped.items():
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}, name
    routes = (repository / "model_serving" / "src" / "model_serving" / "routes.py").read_text()
    assert endpoint["path"] in re.findall(r'@flask\.get\("([^"]+)"\)\n    def exposition', routes)


def test_the_alerts_ask_for_services_that_are_scraped(
    repository: Path, scraped: dict[str, dict[str, Any]]
) -> None:
    """The operator labels what it scrapes with the Service's name."""
    files = (repository / "argo-apps" / "components").glob("*/alerts.yaml")
    asked = {name for file in files for name in re.findall(r'service="([^"]+)"', file.read_text())}
    assert asked and asked <= set(scraped)
