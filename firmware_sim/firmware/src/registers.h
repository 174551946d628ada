/* The RP2040 registers that the firmware touches. Names and numbers are the datasheet's (sections in brackets). */
#ifndef CRUSTWATCH_REGISTERS_H
#define CRUSTWATCH_REGISTERS_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* Every APB register has aliases that set or clear the bits written (2.1.2). */
#define SET_ALIAS(address) REGISTER((address) + 0x2000u)
#define CLEAR_ALIAS(address) REGISTER((address) + 0x3000u)

/* Subsystem resets (2.14) */
#define RESETS_RESET 0x4000c000u
#define RESETS_RESET_DONE 0x4000c008u
#define RESETS_DMA (1u << 2)
#define RESETS_IO_BANK0 (1u << 5)
#define RESETS_PADS_BANK0 (1u << 8)
#define RESETS_PLL_SYS (1u << 12)
#define RESETS_TIMER (1u << 21)
#define RESETS_UART0 (1u << 22)

/* Clocks (2.15) */
#define CLK_REF_CTRL 0x40008030u
#define CLK_REF_SELECTED 0x40008038u
#define CLK_REF_SRC_XOSC 2u
#define CLK_SYS_CTRL 0x4000803cu
#define CLK_SYS_SELECTED 0x40008044u
#define CLK_SYS_SRC_REF 0u
#define CLK_SYS_SRC_AUX 1u /* whose reset value, 0, is PLL_SYS */
#define CLK_PERI_CTRL 0x40008048u
#define CLK_PERI_ENABLE (1u << 11) /* from clk_sys, the reset value of its source */

/* Crystal oscillator (2.16) */
#define XOSC_CTRL 0x40024000u
#define XOSC_CTRL_1_15MHZ 0xaa0u
#define XOSC_CTRL_ENABLE (0xfabu << 12)
#define XOSC_STATUS 0x40024004u
#define XOSC_STATUS_STABLE (1u << 31)
#define XOSC_STARTUP 0x4002400cu

/* System PLL (2.18) */
#define PLL_SYS_CS 0x40028000u
#define PLL_CS_LOCK (1u << 31)
#define PLL_SYS_PWR 0x40028004u
#define PLL_PWR_PD (1u << 0)
#define PLL_PWR_POSTDIVPD (1u << 3)
#define PLL_PWR_VCOPD (1u << 5)
#define PLL_SYS_FBDIV_INT 0x40028008u
#define PLL_SYS_PRIM 0x4002800cu
#define PLL_PRIM_POSTDIV1(n) ((uint32_t)(n) << 16)
#define PLL_PRIM_POSTDIV2(n) ((uint32_t)(n) << 12)

/* Watchdog (4.7): its tick drives the timer */
#define WATCHDOG_TICK 0x4005802cu
#define WATCHDOG_TICK_ENABLE (1u << 9)

/* Timer (4.6) */
#define TIMER_TIMERAWH 0x40054024u
#define TIMER_TIMERAWL 0x40054028u

/* GPIO (2.19) */
#define IO_BANK0_GPIO_CTRL(n) (0x40014004u + 8u * (n))
#define GPIO_FUNCTION_UART 2u

/* UART0, an Arm PL011 (4.2) */
#define UART0_DR 0x40034000u
#define UART_DR_BREAK (1u << 10)
#define UART_DR_OVERRUN (1u << 11)
#define UART0_FR 0x40034018u
#define UART_FR_RX_EMPTY (1u << 4)
#define UART_FR_TX_FULL (1u << 5)
#define UART0_IBRD 0x40034024u
#define UART0_FBRD 0x40034028u
#define UART0_LCR_H 0x4003402cu
#define UART_LCR_FIFO (1u << 4)
#define UART_LCR_8_BITS (3u << 5)
#define UART0_CR 0x40034030u
#define UART_CR_ENABLE (1u << 0)
#define UART_CR_TX (1u << 8)
#define UART_CR_RX (1u << 9)
#define UART0_IFLS 0x40034034u
#define UART_IFLS_RX_HALF (2u << 3)
#define UART0_IMSC 0x40034038u
#define UART_INT_RX (1u << 4)
#define UART_INT_RX_TIMEOUT (1u << 6)
#define UART0_ICR 0x40034044u
#define UART0_IRQ 20u

/* FIFOs between the cores (2.3.1.4) */
#define SIO_FIFO_ST 0xd0000050u
#define SIO_FIFO_VLD (1u << 0)
#define SIO_FIFO_RDY (1u << 1)
#define SIO_FIFO_WR 0xd0000054u
#define SIO_FIFO_RD 0xd0000058u

/* Interpolator 1 of each core (2.3.1.6) */
#define SIO_INTERP1_ACCUM0 0xd00000c0u
#define SIO_INTERP1_BASE0 0xd00000c8u
#define SIO_INTERP1_BASE1 0xd00000ccu
#define SIO_INTERP1_PEEK_LANE0 0xd00000e0u
#define SIO_INTERP1_CTRL_LANE0 0xd00000ecu
#define INTERP_SHIFT(n) (n)
#define INTERP_MASK_MSB(n) ((n) << 10)
#define INTERP_SIGNED (1u << 15)
#define INTERP_CLAMP (1u << 22)

/* DMA (2.5.7) */
#define DMA_READ_ADDR(n) (0x50000000u + 0x40u * (n))
#define DMA_WRITE_ADDR(n) (0x50000004u + 0x40u * (n))
#define DMA_TRANS_COUNT(n) (0x50000008u + 0x40u * (n))
#define DMA_CTRL_TRIG(n) (0x5000000cu + 0x40u * (n))
#define DMA_ENABLE (1u << 0)
#define DMA_HALFWORDS (1u << 2)
#define DMA_WORDS (2u << 2)
#define DMA_INCR_READ (1u << 4)
#define DMA_INCR_WRITE (1u << 5)
#define DMA_CHAIN_TO(n) ((uint32_t)(n) << 11)
#define DMA_TREQ(n) ((uint32_t)(n) << 15)
#define DMA_UNPACED DMA_TREQ(0x3f)
#define DMA_BUSY (1u << 24)

/* Private peripherals of the Cortex-M0+ (2.4.8) */
#define SYST_CSR 0xe000e010u
#define SYST_CSR_ENABLE (1u << 0)
#define SYST_CSR_PROCESSOR_CLOCK (1u << 2)
#define SYST_RVR 0xe000e014u
#define SYST_CVR 0xe000e018u
#define NVIC_ISER 0xe000e100u
#define NVIC_ICPR 0xe000e280u
#define VTOR 0xe000ed08u
#define AIRCR 0xe000ed0cu
#define AIRCR_RESET_REQUEST 0x05fa0004u

#endif
