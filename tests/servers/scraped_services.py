"""The service's own metrics over HTTP, one page a kind of traffic; each scrape finds what came since the one before.

.venv/model_serving/bin/python tests/servers/scraped_services.py PORT     GET /KIND
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from model_serving.metrics import Metrics

# Kind -> the requests between two scrapes: (route, method, status, seconds, how many).
TRAFFIC = {
    "healthy": [("/predict", "POST", 200, 0.01, 20)],
    "unasked": [("/ready", "GET", 200, 0.001, 3)],
    "ceased": [],
    "failing": [("/predict", "POST", 200, 0.01, 19), ("/predict", "POST", 500, 0.01, 1)],
    "slow": [("/predict", "POST", 200, 0.9, 20)],
}
METRICS = {kind: Metrics() for kind in TRAFFIC}


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kind = self.path.removeprefix("/")
        metrics = METRICS[kind]
        for route, method, status, seconds, count in TRAFFIC[kind]:
            for _ in range(count):
                metrics.answered(route, method, status, seconds)
        content, content_type = metrics.exposition()
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    METRICS["ceased"].answered("/predict", "POST", 200, 0.01)
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Page).serve_forever()
