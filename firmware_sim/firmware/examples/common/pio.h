/* PIO registers, RP2040 datasheet 3.7. */
#ifndef EXAMPLES_PIO_H
#define EXAMPLES_PIO_H

#define RESETS_PIO0 (1u << 10)
#define PIO0 0x50200000u
#define PIO_CTRL (PIO0 + 0x00u)
#define PIO_TXF(sm) (PIO0 + 0x10u + 4u * (sm))
#define PIO_RXF(sm) (PIO0 + 0x20u + 4u * (sm))
#define PIO_INSTR_MEM(n) (PIO0 + 0x48u + 4u * (n))
#define PIO_CLKDIV(sm) (PIO0 + 0xc8u + 0x18u * (sm))
#define PIO_EXECCTRL(sm) (PIO0 + 0xccu + 0x18u * (sm))
#define PIO_SHIFTCTRL(sm) (PIO0 + 0xd0u + 0x18u * (sm))
#define PIO_INSTR(sm) (PIO0 + 0xd8u + 0x18u * (sm))
#define PIO_PINCTRL(sm) (PIO0 + 0xdcu + 0x18u * (sm))

#define PIO_WRAP(bottom, top) ((uint32_t)(bottom) << 7 | (uint32_t)(top) << 12)
#define PIO_AUTOPUSH (1u << 16)
#define PIO_AUTOPULL (1u << 17)
#define PIO_PULL_BITS(n) ((uint32_t)(n) << 25)
#define PIO_PUSH_BITS(n) ((uint32_t)(n) << 20)
#define PIO_SET_BASE(pin) ((uint32_t)(pin) << 5 | 1u << 26)
#define PIO_SIDE_BASE(pin) ((uint32_t)(pin) << 10 | 1u << 29)
#define PIO_IN_BASE(pin) ((uint32_t)(pin) << 15)
#define PIO_JMP(address) ((uint32_t)(address))
#define PIO_SET_PINDIRS(value) (0xe080u | (uint32_t)(value))
#define DREQ_PIO0_TX(sm) (sm)
#define DREQ_PIO0_RX(sm) (4u + (sm))

#endif
