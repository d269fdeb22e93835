"""The plain Flask application: one image a request, one forward pass an image.

python -m scripts.benchmarking.peers.flask_app PORT
"""

import sys

import flask
import torch

from scripts.benchmarking.peers import resnet

app = flask.Flask(__name__)
network = resnet.load()


@app.post("/predict")
def predict() -> flask.Response:
    """Answer with the features of the image in the body."""
    with torch.inference_mode():
        features = network(resnet.read(flask.request.data)[None])[0]
    return flask.jsonify(features[:5].tolist())


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), threaded=True)
