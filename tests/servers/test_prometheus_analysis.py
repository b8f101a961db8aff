"""The watch by Prometheus: Argo Rollouts' controller asks a real Prometheus that scrapes the service's own metrics."""

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import Cluster
from processes import eventually, free_port, listens, server_folder

pytestmark = pytest.mark.timeout(900)
ROOT = Path(__file__).resolve().parent.parent.parent
NAMESPACE = "default"
# What becomes of a version by its traffic. Nobody scrapes the last one.
EXPECTED = {
    "healthy": "Successful",
    "unasked": "Successful",
    "ceased": "Successful",
    "failing": "Failed",
    "slow": "Failed",
    "unscraped": "Successful",
}


@pytest.fixture(scope="module")
def prometheus(cluster: Cluster) -> Iterator[str]:
    """The address of a Prometheus that has scraped each service several times."""
    service, port, folder = free_port(), free_port(), cluster.folder / "prometheus"
    folder.mkdir()
    scraped = [kind for kind in EXPECTED if kind != "unscraped"]
    jobs = [
        {
            "job_name": kind,
            "metrics_path": f"/{kind}",
            "static_configs": [{"targets": [f"127.0.0.1:{service}"], "labels": {"service": kind}}],
        }
        for kind in scraped
    ]
    config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    pages = cluster.run(
        "scraped-services",
        ROOT / ".venv" / "model_serving" / "bin" / "python",
        ROOT / "tests" / "servers" / "scraped_services.py",
        str(service),
        env={"PYTHONUNBUFFERED": "1"},
    )
    pages.wait_until(lambda: listens(service))
    server = cluster.run(
        "prometheus",
        server_folder("prometheus") / "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    server.wait_until(lambda: listens(port))
    address = f"http://127.0.0.1:{port}"

    def scraped_often() -> bool:
        query = "count by (service) (count_over_time(model_serving_instance_info[2m]) >= 4)"
        with urllib.request.urlopen(
            f"{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}", timeout=30
        ) as answer:
            found = json.load(answer)["data"]["result"]
        return {one["metric"]["service"] for one in found} == set(scraped)

    eventually(scraped_often, 120, "every service is scraped four times")
    yield address
    server.stop()
    pages.stop()


@pytest.fixture(scope="module")
def runs(cluster: Cluster, prometheus: str, argo_apps: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """The ended AnalysisRun of each service, made as a promotion makes it, in seconds instead of minutes."""
    template = argo_apps / "components" / "prometheus-analysis" / "active-watch.yaml"
    metrics = yaml.safe_load(template.read_text())["spec"]["metrics"]
    for metric in metrics:
        assert metric.pop("initialDelay") == "2m"
        metric |= {"interval": "1s", "count": 3}
        metric["provider"]["prometheus"]["address"] = prometheus
    health = free_port()
    controller = cluster.run(
        "rollouts-controller-analysis",
        server_folder("rollouts") / "rollouts-controller",
        f"--kubeconfig={cluster.kubeconfig}",
        "--leader-elect=false",
        f"--metricsport={free_port()}",
        f"--healthzPort={health}",
    )
    controller.wait_until(lambda: listens(health))
    for name in EXPECTED:
        cluster.apply(
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "AnalysisRun",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"args": [{"name": "service", "value": name}], "metrics": metrics},
            }
        )
    ended = {}

    def all_ended() -> bool:
        for name in EXPECTED:
            status = cluster.get("analysisrun", name, NAMESPACE).get("status", {})
            assert status.get("phase") not in {None, "", "Pending", "Running"}, f"{name}: {status}"
            ended[name] = status
        return True

    eventually(all_ended, 300)
    yield ended
    controller.stop()
    cluster.try_kubectl("-n", NAMESPACE, "delete", "analysisrun", "--all")


@pytest.mark.parametrize("name", EXPECTED)
def test_the_watch_judges_by_traffic_and_takes_none_as_harmless(
    runs: dict[str, dict[str, Any]], name: str
) -> None:
    status = runs[name]
    assert status["phase"] == EXPECTED[name], status
    assert [one.get("error", 0) for one in status["metricResults"]] == [0, 0], status
