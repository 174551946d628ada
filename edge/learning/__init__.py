"""Training of the on-device classifier: rendered frames to int8 `.tflite`, `.onnx` and `gate.json`.

The only package of `edge` that may import torch (extra `learn`). Order of the files:
parts -> network -> training -> folding -> calibration -> rounded (fine-tuning) -> quantised -> tflite_writer,
onnx_writer -> evaluation; pipeline.py runs them.
"""
