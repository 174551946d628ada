/* The contract between the model emitter (firmware_sim/compiler/emit_c.py) and the kernels.
 *
 * One generated C file defines `const struct nn_model nn_model`; nothing else of the firmware knows
 * the network. Arithmetic is TFLite's reference int8 arithmetic, bit for bit.
 *
 * Layouts (row-major, one byte an element):
 *   activations   [h][w][c]           int8, at an offset of the arena
 *   CONV_2D       [out_c][kh][kw][in_c]   (TFLite's OHWI), each output channel's row filled with zeros to whole words
 *   DEPTHWISE     [kh][kw][out_c]         (TFLite's 1HWC), out_c = in_c * depth_multiplier
 * The kernels on pairs rely on weights of -127 to 127, as TFLite's quantisation has them (pair.h); the plain ones do not.
 *
 * The caller of the emitter has already checked every bound below; the kernels do not check again.
 */
#ifndef CRUSTWATCH_NN_H
#define CRUSTWATCH_NN_H

#include <stdint.h>

/* Most labels a model may have: bounds the logits, the thresholds and the protocol's lists. */
#define NN_MAX_LABELS 16

/* Entries of the gate's table: one for each difference max(logit) - logit of two int8 values. */
#define NN_GATE_LUT_SIZE 256

/* Least words of the pair kernels' work area. A CONV_2D window (kernel_h * kernel_w * in_c elements) and kernel_h rows of
 * (out_w - 1) * stride_w + kernel_w elements of a DEPTHWISE_CONV_2D fit in it, an element a word. */
#define NN_WORK_WORDS 1536

/* Sums that wait for requantisation: first pixels, then second pixels. */
#define NN_WORK_SUMS 128

/* What a kernel works in; each core has its own. */
struct nn_work {
    int32_t *words; /* packed windows or rows */
    uint32_t count; /* of words, NN_WORK_WORDS or more */
    int32_t sums[NN_WORK_SUMS];
};

/* What a core computes of a layer: the outputs of some pixels (y * out_w + x), or of some channels of all pixels. */
struct nn_part {
    uint32_t pixel, pixel_end;
    uint32_t channel, channel_end;
    uint32_t core; /* 0 or 1 */
    struct nn_work *work;
};

/* What the C twin of generated code works from (firmware_sim/compiler/prover.py says what the forms compute). */
struct nn_form {
    uint8_t form; /* 0 exact, 1 F1, 2 F3, 3 and 4 the same with ties away from zero */
    uint8_t a, s, d;
    int32_t m, k, b;
};

/* Activations as planes (firmware_sim/compiler/planes.py): a channel's packed rows, first pixel + (second << 16), where the
 * second row is `distance` rows below the first. */
struct nn_plane {
    uint16_t pitch;    /* words of a packed row */
    uint16_t words;    /* of a plane; 0: no planes */
    uint16_t first;    /* word of pixel [0][0] */
    uint16_t distance;
    uint16_t rows;     /* that the convolution writes */
    uint16_t columns;
};

/* Generated code for `count` >= 1 pairs of pixels: `window` has a word a tap, first pixel + (second << 16), and the next
 * window begins where the layer's packing has it; the outputs go to `first` and `second`, pixel after pixel, the sums of
 * the channels in `exact_channels`, without bias, to `exact`, two a channel: where there are any, count is 1. */
typedef void nn_code(const int32_t *window, int8_t *first, int8_t *second, int32_t *exact, uint32_t count);

/* Code in flash that runs from a slot in SRAM (overlay.h). */
struct nn_overlay {
    nn_code *from; /* the first function, in flash */
    uint32_t *to;
    uint32_t words;
    const struct nn_overlay *next; /* of the same inference; its slot is the other one */
};

/* A convolution as generated code (firmware_sim/compiler/dense_code.py), which knows weights and requantisation. */
struct nn_generated {
    /* For the layer's channels, or for those of a core's part: [1] is the second core's. Of an overlay, in flash. */
    nn_code *code[2];
    uint32_t pitch; /* words from row to row of a window; 0: its rows lie one behind the other */
    struct nn_plane plane; /* where words of both outputs go, in the place of bytes; words = 0: nowhere */
    uint16_t paired; /* rows between the pixels of the input's words [rows][in_w][in_c], of 1x1 windows; 0: plain input */
    const int16_t *plane_of; /* [out_c], of the twin: a channel's plane, or -1 */
    uint8_t shift; /* the last one, which the interpolator does before it clamps to act_min, act_max */
    uint16_t exact_count;
    const uint16_t *exact_channels; /* ascending */
    const struct nn_form *forms; /* [out_c], and */
    const int8_t *weights;       /* [out_c][taps]: of the twin, NULL on the chip */
    int32_t after;
};

/* Numbers of a depthwise channel: w[9], m, k, b of its form (k 0 for F1), its number, whether ties count, and then d and
 * what is added last (firmware_sim/compiler/prover.py). */
#define NN_NUMBERS 16

/* `count` channels one behind the other in `numbers` and, if they are planes, at `x`; for each `rows` rows of windows; its
 * first output goes to `out` + its number; `distance` is the bytes to the second output. */
typedef void nn_depthwise_code(const int32_t *x, const int32_t *numbers, int8_t *out, uint32_t rows, int32_t distance,
                               uint32_t count);

/* A 3x3 depthwise layer as generated code (firmware_sim/compiler/depthwise_code.py). */
struct nn_depthwise {
    uint8_t shift; /* the last one, which the interpolator does before it clamps to act_min, act_max */
    uint16_t count;
    const struct nn_depthwise_run {
        nn_depthwise_code *code; /* NULL but on the chip */
        const int32_t *numbers; /* [count][NN_NUMBERS]; NULL on the chip for code that knows them, of one channel */
        uint16_t channel;       /* of the first */
        uint16_t count;         /* all of them are of one core */
        uint16_t plane;         /* of the first */
    } *runs; /* [count] */
    struct nn_plane plane; /* of the input, or words = 0: activations as everywhere */
    uint8_t words;         /* outputs are words [half of the rows][out_w][out_c] of both pixels; of planes only */
    uint16_t rest_count;
    const uint16_t *rest; /* channels for the kernels on pairs: only they need bias, multiplier and shift */
};

struct nn_layer;

/* A kernel computes `part` of a layer; `arena` is the model's. */
typedef void nn_kernel(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part);

struct nn_layer {
    nn_kernel *run; /* one of kernels.h */

    uint8_t packed; /* generated_conv_2d: the layer before has packed the same input into the work area */

    /* Where the second core's part begins: a pixel, or a channel if `by_channels`. 0: the first core computes all. */
    uint32_t split;
    uint8_t by_channels;

    /* A part of an operator: channels from first_channel to before end_channel; both 0: all. */
    uint16_t first_channel, end_channel;
    const struct nn_overlay *overlay; /* of its generated code, or NULL */

    /* Window, for convolutions and pools; strides >= 1; dilation is always 1. MEAN: how many values along height and
     * width each mean takes, and along channels depth_multiplier. */
    uint16_t kernel_h, kernel_w;
    uint16_t stride_h, stride_w;

    /* Rows above and columns left of the input. Convolutions: a tap outside the input reads the input's
     * zero point. Pools: it is not counted. PAD: it is filled with the output's zero point, as are pad_before
     * channels. Padding below, to the right and behind follows from the output's shape. */
    uint16_t pad_top, pad_left, pad_before;

    uint16_t depth_multiplier; /* DEPTHWISE_CONV_2D: >= 1 */

    uint16_t in_h, in_w, in_c;
    uint16_t out_h, out_w, out_c;

    int8_t input_zero_point;
    int8_t input2_zero_point; /* ADD, SUB and MUL only */
    int8_t output_zero_point;
    int8_t act_min, act_max; /* clamp after the output's zero point is added */
    int8_t sign;             /* ADD: 1; SUB: -1 */
    uint8_t once; /* plain convolutions: round once, as LiteRT's FULLY_CONNECTED, not twice; proven_add: the shift */

    /* Byte offsets into the arena; multiples of 4. An output overlaps an input only where it is the same
     * place and the layer works value by value (ADD, SUB, MUL, LOOKUP). */
    uint32_t input_offset;
    uint32_t input2_offset; /* ADD, SUB and MUL only */
    uint32_t output_offset;

    /* ADD, SUB and MUL: elements from one row, column and channel of each input to the next, 0 where it is repeated.
     * CONCATENATION, one layer an input: steps[0] = {rows, bytes of one in the input, bytes of one in the output}. */
    uint32_t steps[2][3];

    /* Convolutions: 4-byte aligned. LOOKUP: int8[256] by the input's byte. ADD, SUB and MUL: an operand that is a
     * constant, in the place of the arena's input (constants[0]) or input2 (constants[1]). */
    const int8_t *weights;
    const int8_t *constants[2];

    /* Convolutions: int32[out_c]; the input's zero point is folded in:
     *     bias[c] = tflite_bias[c] - input_zero_point * sum(weights of output channel c)
     * so that acc = bias[c] + sum(w * x) with raw int8 x. The emitter proves that no partial sum leaves int32.
     * SOFTMAX: int32[256], exp(-d) in Q0 for differences d to the row's maximum. DEQUANTIZE: the bits of float[256]. */
    const int32_t *bias;

    /* requantise(acc) = RDBPOT(SRDHM(acc << max(shift, 0), multiplier), max(-shift, 0)):
     *   SRDHM  saturating rounding doubling high multiply,
     *   RDBPOT rounding divide by a power of two, ties away from zero.
     * Convolutions: out_c entries, multiplier in [2^30, 2^31) or 0, shift in [-31, 30].
     * proven_add: m1, m2, c of clamp((m1 * a + m2 * b + c) >> once) with raw a and b.
     * ADD, SUB: 3 entries, for input 1, input 2 (after << 20) and the output. MUL, MEAN: 1 entry.
     * QUANTIZE: the bits of the scale, a float. */
    const int32_t *multiplier;
    const int8_t *shift;

    /* generated_conv_2d and generated_depthwise_conv_2d; then bias, multiplier and shift may be NULL when no channel
     * needs them. */
    const struct nn_generated *generated;
    const struct nn_depthwise *depthwise;
};

struct nn_model {
    uint16_t input_h, input_w, input_c; /* the input; of the serial service a frame, stored as int8 x - 128 */
    uint16_t labels;                    /* of the serial service: 1 to NN_MAX_LABELS logits, int8 [1][1][labels] */
    uint16_t layer_count;
    uint8_t cores;         /* 1 or 2 */
    uint32_t input_bytes, output_bytes;
    struct nn_work *work[2]; /* of each core */
    int8_t *arena;          /* 4-byte aligned, defined zeroed by the generated file, so that it costs no flash */
    uint32_t arena_bytes;   /* its size; the offsets below and in the layers index it */
    uint32_t input_offset;  /* of the first layer's input */
    uint32_t output_offset; /* of the logits */
    const struct nn_layer *layers;
    const struct nn_overlay *overlay; /* the first one, or NULL */
    uint8_t sha256[32]; /* of the .tflite file that the tables were made from */

    /* Gate. gate_lut[d] = exp(-d * logit_scale / temperature) in Q15, gate_lut[0] = 32768.
     *   total = sum over i of gate_lut[max - logit[i]]
     *   probability_q15 = (gate_lut[0] << 15) / total, rounded down; label = lowest index of max
     *   sure  iff  gate_lut[0] << 15 >= tau_q15[label] * total, in 64 bits
     * tau_q15: 0 to 32768, or 65535 for "never alone" (no probability reaches it). */
    const uint16_t *gate_lut; /* uint16[NN_GATE_LUT_SIZE] */
    const uint16_t *tau_q15;  /* uint16[labels], defaults until the host sets others */
};

/* Generated. */
extern const struct nn_model nn_model;

#endif
