/* A counter in two flash sectors that survives a power cut at any moment. counter.c says how. */
#ifndef EXAMPLES_COUNTER_H
#define EXAMPLES_COUNTER_H

#include <stdint.h>

/* Find the newest record; 0 when there is none. */
uint32_t counter_load(void);

/* Store the next value: when this returns it is safe; when the power goes before, the old or the new one is found. */
void counter_store(uint32_t value);

#endif
