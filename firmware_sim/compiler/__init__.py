"""From an int8 `.tflite` file to firmware, and the numpy reference that it must equal.

```
model.tflite ─► tflite_reader ─► graph.Graph ─┬─► reference.run   its bytes, in numpy
                (checks all)                  └─► channels, padding (nothing computed twice or for nobody)
                                                  ├─► arena, placement ─► emit_c ─► model_data.c
                                                  └─► prover, bands ─► dense_code, depthwise_code ─► model_code.S
```
"""
