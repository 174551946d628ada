"""From an int8 `.tflite` file to firmware, and the numpy reference that it must equal.

```
model.tflite ─► tflite_reader ─► graph.Graph ─┬─► reference.run   its bytes, in numpy
                (checks all)                  └─► channels, padding, strips (nothing computed twice or for nobody)
                                                  ├─► arena, placement ─► emit_c ─► model_data.c
                                                  └─► prover, bands ─► dense_code, depthwise_code ─► model_code.S
```

- Generated code: candidates.py says which convolutions can have it; dense_code and dense_outputs write that of CONV_2D
  and FULLY_CONNECTED; depthwise_groups, _channels, _code, _sums and plane_filling that of DEPTHWISE_CONV_2D.
- Cycles: features, parts and packing count what a kernel does, cycles prices it; choice, overlay and placement spend
  the SRAM by it.
- C text: emit_layers a layer, emit_generated the tables of generated code, emit_c the whole file.
"""
