/* A network small enough to check by hand, for tests of the protocol: the mean colour of a 16x16 frame, then the
 * identity (multiplier 2^30, shift 1: times one) with labels red, green, blue and a constant 0. */
#include "kernels.h"

static const int8_t weights_1[16] __attribute__((aligned(4))) = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0};
static const int32_t bias_1[4] = {0, 0, 0, 0};
static const int32_t multiplier_1[4] = {1 << 30, 1 << 30, 1 << 30, 1 << 30};
static const int8_t shift_1[4] = {1, 1, 1, 1};
static const struct nn_layer layers[] = {
    {
        .run = average_pool_2d,
        .kernel_h = 16, .kernel_w = 16, .stride_h = 1, .stride_w = 1,
        .in_h = 16, .in_w = 16, .in_c = 3, .out_h = 1, .out_w = 1, .out_c = 3,
        .act_min = -128, .act_max = 127,
        .input_offset = 0, .output_offset = 768,
    },
    {
        .run = conv_2d,
        .kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1,
        .in_h = 1, .in_w = 1, .in_c = 3, .out_h = 1, .out_w = 1, .out_c = 4,
        .act_min = -128, .act_max = 127,
        .input_offset = 768, .output_offset = 772,
        .weights = weights_1, .bias = bias_1, .multiplier = multiplier_1, .shift = shift_1,
    },
};
/* A difference of one step halves the probability. */
static const uint16_t gate_lut[NN_GATE_LUT_SIZE] = {32768, 16384, 8192, 4096, 2048, 1024, 512, 256,
                                                    128,   64,    32,   16,   8,    4,    2,   1};
static const uint16_t tau_q15[4] = {16384, 16384, 65535, 0};
static int8_t arena[776] __attribute__((aligned(4)));
static int32_t work_words[NN_WORK_WORDS];
static struct nn_work work = {.words = work_words, .count = NN_WORK_WORDS};

const struct nn_model nn_model = {
    .input_h = 16, .input_w = 16, .input_c = 3,
    .labels = 4,
    .layer_count = 2,
    .cores = 1,
    .work = {&work},
    .input_bytes = 16 * 16 * 3,
    .output_bytes = 4,
    .arena = arena,
    .arena_bytes = 776,
    .input_offset = 0,
    .output_offset = 772,
    .layers = layers,
    .sha256 = {0xc0, 0xff, 0xee},
    .gate_lut = gate_lut,
    .tau_q15 = tau_q15,
};
