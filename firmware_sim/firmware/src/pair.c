#include "pair.h"

struct sum {
    uint32_t whole;
    int32_t second;
};

static void move(struct sum *sum, int32_t products)
{
    sum->whole += (uint32_t)products;
    sum->second += (products + 0x8000) >> 16;
}

static void finish(const struct sum *sum, int32_t *first, int32_t *second)
{
    *first = (int32_t)(sum->whole - ((uint32_t)sum->second << 16));
    *second = sum->second;
}

void pair_dots(const int32_t *x, const int8_t *w, uint32_t size, uint32_t pairs, int32_t *sums)
{
    for (uint32_t i = 0; i < pairs; i++, x += size) {
        struct sum sum = {0, 0};
        for (uint32_t k = 0; k < size; k += 2)
            move(&sum, x[k] * w[k] + x[k + 1] * w[k + 1]);
        finish(&sum, &sums[i], &sums[pairs + i]);
    }
}

void pair_slide_3x3(const struct pair_rows *rows, uint32_t pairs, int32_t *sums)
{
    const int32_t *w = rows->w, *x0 = rows->x;
    for (uint32_t i = 0; i < pairs; i++, x0 += rows->stride) {
        const int32_t *x1 = x0 + rows->width, *x2 = x1 + rows->width;
        struct sum sum = {0, 0};
        move(&sum, x0[0] * w[0] + x0[1] * w[1]);
        move(&sum, x0[2] * w[2] + x1[0] * w[3]);
        move(&sum, x1[1] * w[4] + x1[2] * w[5]);
        move(&sum, x2[0] * w[6] + x2[1] * w[7]);
        move(&sum, x2[2] * w[8]);
        finish(&sum, &sums[i], &sums[rows->distance + i]);
    }
}
