#ifndef CRUSTWATCH_STACK_H
#define CRUSTWATCH_STACK_H

#include <stdint.h>

/* Fills the unused stack at reset. */
#define STACK_MARK 0x5ac0ffeeu

/* Most of the stack that was ever used, in bytes. */
uint32_t stack_bytes_used(void);

#endif
