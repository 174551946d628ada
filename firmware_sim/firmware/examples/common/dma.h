/* DMA registers, RP2040 datasheet 2.5.7. */
#ifndef EXAMPLES_DMA_H
#define EXAMPLES_DMA_H

#define RESETS_DMA (1u << 2)
#define DMA_READ_ADDR(n) (0x50000000u + 0x40u * (n))
#define DMA_WRITE_ADDR(n) (0x50000004u + 0x40u * (n))
#define DMA_TRANS_COUNT(n) (0x50000008u + 0x40u * (n))
#define DMA_CTRL_TRIG(n) (0x5000000cu + 0x40u * (n))
#define DMA_AL1_CTRL(n) (0x50000010u + 0x40u * (n))
#define DMA_AL3_TRANS_COUNT(n) (0x50000038u + 0x40u * (n))
#define DMA_INTR 0x50000400u
#define DMA_SNIFF_CTRL 0x50000434u
#define DMA_SNIFF_DATA 0x50000438u

#define DMA_EN (1u << 0)
#define DMA_BYTES (0u << 2)
#define DMA_WORDS (2u << 2)
#define DMA_INCR_READ (1u << 4)
#define DMA_INCR_WRITE (1u << 5)
#define DMA_RING_WRITE(bits) ((uint32_t)(bits) << 6 | 1u << 10)
#define DMA_CHAIN_TO(n) ((uint32_t)(n) << 11)
#define DMA_TREQ(n) ((uint32_t)(n) << 15)
#define DMA_UNPACED DMA_TREQ(0x3f)
#define DMA_IRQ_QUIET (1u << 21)
#define DMA_SNIFF_EN (1u << 23)
#define DMA_BUSY (1u << 24)

#define SNIFF_EN (1u << 0)
#define SNIFF_CRC32_REVERSED (1u << 5)
#define SNIFF_OUT_REVERSED (1u << 10)
#define SNIFF_OUT_INVERTED (1u << 11)

#endif
