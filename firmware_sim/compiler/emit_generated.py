"""The tables that the kernels of generated code read, as C text (`struct nn_generated` and `nn_depthwise` of nn.h)."""

from __future__ import annotations

from firmware_sim.compiler.c_text import ON_HOST, array
from firmware_sim.compiler.generated_layer import Chunk, Generated, GeneratedDepthwise
from firmware_sim.compiler.graph import Conv2D
from firmware_sim.compiler.planes import Plane


def dense_tables(position: int, operator: Conv2D, generated: Generated) -> list[str]:
    """`struct nn_generated`, and for this machine what the twin of the code works from."""
    forms, exact = generated.forms, generated.exact
    rows = [
        f"    {{{', '.join(map(str, numbers))}}},"
        for numbers in zip(
            *(v.tolist() for v in (forms.form, forms.a, forms.s, forms.d, forms.m, forms.k, forms.b)), strict=True
        )
    ]
    return [
        f"/* {forms.verdict()} */",
        *(f"nn_code {name};" for chunk in generated.chunks for name in chunk.names),
        *(array(f"static const uint16_t exact_{position}[{len(exact)}]", exact) if len(exact) else []),
        ON_HOST,
        *_twin_planes(position, generated.plane),
        *array(f"static const int8_t twin_{position}[{operator.weights.size}]", operator.weights.ravel()),
        f"static const struct nn_form forms_{position}[{len(rows)}] = {{",
        *rows,
        "};",
        "#endif",
        f"static const struct nn_generated generated_{position}[{len(generated.chunks)}] = {{",
        *(line for chunk in generated.chunks for line in _chunk(position, generated, chunk)),
        "};",
        "",
    ]


def _chunk(position: int, generated: Generated, chunk: Chunk) -> list[str]:
    """`struct nn_generated` of one chunk."""
    forms, exact = generated.forms, generated.exact
    return [
        "    {",
        *([f"        .pitch = {generated.pitch},"] if generated.pitch else []),
        *([f"        .plane = {_plane_text(generated.plane)},"] if generated.plane else []),
        *([f"        .paired = {generated.paired},"] if generated.paired else []),
        f"        .shift = {forms.shift}, .exact_count = {len(exact)}, .after = {forms.after},",
        *([f"        .exact_channels = exact_{position},"] if len(exact) else []),
        ON_HOST,
        f"        .forms = forms_{position}, .weights = twin_{position},",
        *([f"        .plane_of = plane_of_{position},"] if generated.plane else []),
        "#else",
        f"        .code = {{{', '.join(chunk.names)}}},",
        "#endif",
        "    },",
    ]


def depthwise_tables(position: int, generated: GeneratedDepthwise) -> list[str]:
    """`struct nn_depthwise`, its runs and their numbers."""
    own, rest, plane = generated.own, generated.rest, generated.plane
    channels = [channel for run in generated.runs for channel in run.channels]
    rows = [f"    {{{', '.join(map(str, channel.numbers))}}}," for channel in channels]
    numbers = [f"static const int32_t numbers_{position}[{len(rows)}][NN_NUMBERS] = {{", *rows, "};"] if rows else []
    names = dict.fromkeys(run.name for run in generated.runs)
    runs, first = [], 0
    for run in generated.runs:
        place = f"{'HOST' if own else ''}(numbers_{position}[{first}])"
        runs.append(f"    {{CHIP({run.name}), {place}, {run.channels[0].index}, {len(run.channels)}, {first}}},")
        first += len(run.channels)
    return [
        "#ifdef __ARM_ARCH_6M__",
        *(f"nn_depthwise_code {name};" for name in names),
        "#endif",
        *([ON_HOST, *numbers, "#endif"] if own else numbers),
        *(array(f"static const uint16_t rest_{position}[{len(rest)}]", rest) if rest else []),
        *([f"static const struct nn_depthwise_run runs_{position}[{len(runs)}] = {{", *runs, "};"] if runs else []),
        f"static const struct nn_depthwise depthwise_{position} = {{ /* {generated.forms.verdict()} */",
        f"    .shift = {generated.forms.shift}, .count = {len(runs)},",
        *([f"    .runs = runs_{position},"] if runs else []),
        *([f"    .plane = {_plane_text(plane)},"] if plane else []),
        *(["    .words = 1,"] if generated.words else []),
        *([f"    .rest_count = {len(rest)}, .rest = rest_{position},"] if rest else []),
        "};",
        "",
    ]


def _plane_text(plane: Plane) -> str:
    """`struct nn_plane`."""
    first = plane.top * plane.pitch + plane.left
    numbers = (plane.pitch, plane.words, first, plane.distance, plane.first_rows, plane.columns)
    return "{" + ", ".join(map(str, numbers)) + "}"


def _twin_planes(position: int, plane: Plane | None) -> list[str]:
    if plane is None:
        return []
    return array(f"static const int16_t plane_of_{position}[{len(plane.index)}]", plane.index)
