"""Training of the on-device classifier: rendered frames to int8 `.tflite`, `.onnx` and `gate.json`.

The only package of `edge` that may import torch (extra `learn`). Order of the files:
dataset -> network -> training -> folding -> calibration -> quantise (qat) -> tflite_writer, onnx_writer -> evaluation.
"""
