"""The plain Flask application: one image a request, one forward pass an image.

python -m scripts.benchmarking.peers.flask_app PORT
"""

import sys

import flask

from scripts.benchmarking.peers.pipeline import Pipeline

app = flask.Flask(__name__)
pipeline = Pipeline()


@app.post("/predict")
def predict() -> flask.Response:
    """Answer for the image in the body."""
    fields = pipeline.read(flask.request.data)[None]
    (answer,) = pipeline.answer(pipeline.extract(fields))
    return flask.jsonify(answer)


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), threaded=True)
