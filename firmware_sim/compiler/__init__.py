"""From an int8 `.tflite` file to the firmware's C tables, and the numpy reference that both must equal.

```
model.tflite ─► tflite_reader ─► graph.Graph ─┬─► reference.run      int8 in, int8 out, numpy
                (checks all)                  └─► arena.plan ─► emit_c ─► model_data.c
```
"""
