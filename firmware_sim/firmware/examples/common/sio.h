/* SIO registers for two cores (RP2040 datasheet 2.3.1.7). */
#ifndef EXAMPLES_SIO_H
#define EXAMPLES_SIO_H

#define SIO_CPUID 0xd0000000u
#define SIO_FIFO_ST 0xd0000050u
#define SIO_FIFO_VLD (1u << 0) /* a word to read */
#define SIO_FIFO_RDY (1u << 1) /* room to write */
#define SIO_FIFO_WR 0xd0000054u
#define SIO_FIFO_RD 0xd0000058u
#define SIO_SPINLOCK(n) (0xd0000100u + 4u * (n)) /* a read takes it, 0: taken already; a write gives it back */

#endif
