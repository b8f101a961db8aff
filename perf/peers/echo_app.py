"""A bare Flask application that gives back what it got: the ceiling of any service written with Flask."""

from flask import Flask, Response, request

app = Flask(__name__)


@app.post("/predict")
def predict() -> Response:
    """The body as it came."""
    return Response(request.get_data(), mimetype="application/json")


@app.get("/ready")
def ready() -> str:
    """Always."""
    return "ready"
