/* Clocks and time. */
#ifndef CRUSTWATCH_CLOCKS_H
#define CRUSTWATCH_CLOCKS_H

#include <stdint.h>

#define XOSC_HZ 12000000u
#ifndef SYS_HZ /* the build may set another, with the PLL settings of clocks.c */
#define SYS_HZ 125000000u
#endif

/* Crystal on, clk_sys at SYS_HZ from the PLL, clk_peri on, the microsecond timer and SysTick running. */
void clocks_start(void);

/* Microseconds since clocks_start. */
uint64_t clocks_now_us(void);

/* Processor cycles; its origin is arbitrary. */
uint64_t clocks_cycles(void);

/* Put subsystems (RESETS_*) into reset, take them out again and wait until they are. */
void clocks_reset(uint32_t resets);

#endif
