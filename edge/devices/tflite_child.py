"""Runs a `.tflite` with tflite-runtime for `edge.devices.tflite_runtime`, which starts this file as a script.

tflite-runtime needs numpy below 2 and so an environment of its own: nothing of crustwatch can be imported here.
Standard input: u32 length and the model, then one int8 frame [H, W, 3] after the other. Standard output: one JSON line
(`{"ok": true}` or `{"error": ...}`), then for each frame the int8 logits.
"""

from __future__ import annotations

import json
import sys
from typing import Any, BinaryIO


def load(model: bytes, kernels: str) -> Any:
    """An interpreter with its tensors allocated."""
    from tflite_runtime.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.AUTO if kernels == "fast" else OpResolverType.BUILTIN_REF
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=resolver, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def serve(source: BinaryIO, sink: BinaryIO, kernels: str) -> None:
    """Answer frames until the input ends."""
    size = int.from_bytes(source.read(4), "little")
    try:
        import numpy as np

        interpreter = load(source.read(size), kernels)
    except Exception as error:  # whatever it is, the parent reports it
        sink.write(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode() + b"\n")
        sink.flush()
        return
    sink.write(b'{"ok": true}\n')
    sink.flush()
    details = interpreter.get_input_details()[0]
    shape, output = tuple(details["shape"]), interpreter.get_output_details()[0]["index"]
    count = int(np.prod(shape))
    while len(frame := source.read(count)) == count:
        interpreter.set_tensor(details["index"], np.frombuffer(frame, np.int8).reshape(shape))  # [1, H, W, 3]
        interpreter.invoke()
        sink.write(interpreter.get_tensor(output).tobytes())  # int8 [1, labels]
        sink.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer, sys.argv[1])
