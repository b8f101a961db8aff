"""Feature table to autoencoder, threshold, quality report and registered model.

settings      every setting of the three commands
commands      train, evaluate, gate: the only modules that know all others
runs          a published preprocess run: found, checked, opened
dataset       its rows as a stream of minibatches
autoencoder   the network and its error (torch only)
trainer       the training loop, checkpoints, early stopping (no MLflow, no storage)
threshold     where unusual begins, by several rules
export        the network as one ONNX file, proved against torch
reference     what drift detection and reasons compare with
artifact      the folder that is registered as the model
tracking      MLflow
quality       injected anomalies, baselines, the report
gate          candidate against champion
"""

__version__ = "0.1.0"
