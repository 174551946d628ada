#include "pack.h"

#include "pair.h"

void pack_both(const struct pack_rows *rows)
{
    int32_t *out = rows->out;
    const int8_t *x = rows->first;
    for (uint32_t row = 0; row < rows->rows; row++, out += rows->pitch, x += rows->line)
        for (uint32_t i = 0; i < rows->count; i++)
            out[i] = pair(x[i * rows->step], x[(int32_t)(i * rows->step) + rows->distance]);
}

void pack_one(const struct pack_rows *row, uint32_t shift, int32_t other)
{
    for (uint32_t i = 0; i < row->count; i++)
        row->out[i] = (int32_t)(((uint32_t)row->first[i * row->step] << shift) + (uint32_t)other);
}
