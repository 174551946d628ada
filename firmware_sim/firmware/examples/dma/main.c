/* Copies memory with a CRC-32 on the way, then prints scattered texts through a list of DMA control blocks. */
#include "console.h"
#include "dma.h"
#include "registers.h"

#define BYTES 1024u
#define UART0_DATA 0x40034000u
#define UART0_DMACR 0x40034048u
#define DREQ_UART0_TX 20u
#define COPY 2u /* channels */
#define PRINT 0u
#define FEED 1u

static uint8_t source[BYTES], target[BYTES];

static uint32_t crc32(const uint8_t *bytes, uint32_t count)
{
    uint32_t crc = ~0u;
    for (uint32_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (uint32_t bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1u ? 0xedb88320u : 0u);
    }
    return ~crc;
}

static void start(uint32_t channel, const volatile void *from, uint32_t to, uint32_t count, uint32_t control)
{
    REGISTER(DMA_READ_ADDR(channel)) = (uint32_t)from;
    REGISTER(DMA_WRITE_ADDR(channel)) = to;
    REGISTER(DMA_TRANS_COUNT(channel)) = count;
    REGISTER(DMA_CTRL_TRIG(channel)) = control | DMA_EN;
}

static uint32_t copy_with_crc(void)
{
    REGISTER(DMA_SNIFF_CTRL) =
        SNIFF_EN | COPY << 1 | SNIFF_CRC32_REVERSED | SNIFF_OUT_REVERSED | SNIFF_OUT_INVERTED;
    REGISTER(DMA_SNIFF_DATA) = ~0u;
    start(COPY, source, (uint32_t)target, BYTES / 4u,
          DMA_WORDS | DMA_INCR_READ | DMA_INCR_WRITE | DMA_UNPACED | DMA_CHAIN_TO(COPY) | DMA_SNIFF_EN);
    while (REGISTER(DMA_CTRL_TRIG(COPY)) & DMA_BUSY)
        ;
    return REGISTER(DMA_SNIFF_DATA);
}

/* FEED writes a count and an address into PRINT, which starts PRINT; PRINT chains back. A zero address ends it. */
static void print_list(void)
{
    static const char *const texts[] = {"one channel ", "feeds ", "another\n"};
    static const uint32_t lengths[] = {12, 6, 8};
    static uint32_t blocks[8];
    for (uint32_t i = 0; i < 3; i++) {
        blocks[2 * i] = lengths[i];
        blocks[2 * i + 1] = (uint32_t)texts[i];
    }
    REGISTER(UART0_DMACR) = 2; /* TXDMAE */
    REGISTER(DMA_WRITE_ADDR(PRINT)) = UART0_DATA;
    REGISTER(DMA_AL1_CTRL(PRINT)) =
        DMA_EN | DMA_BYTES | DMA_INCR_READ | DMA_TREQ(DREQ_UART0_TX) | DMA_CHAIN_TO(FEED) | DMA_IRQ_QUIET;
    REGISTER(DMA_INTR) = 1u << PRINT;
    start(FEED, blocks, DMA_AL3_TRANS_COUNT(PRINT), 2,
          DMA_WORDS | DMA_INCR_READ | DMA_INCR_WRITE | DMA_RING_WRITE(3) | DMA_UNPACED | DMA_CHAIN_TO(FEED) | DMA_IRQ_QUIET);
    while (!(REGISTER(DMA_INTR) & 1u << PRINT)) /* the null trigger at the end */
        ;
}

int main(void)
{
    console_start();
    CLEAR_ALIAS(RESETS_RESET) = RESETS_DMA;
    while (!(REGISTER(RESETS_RESET_DONE) & RESETS_DMA))
        ;
    for (uint32_t i = 0; i < BYTES; i++)
        source[i] = (uint8_t)(i * i + (i >> 3));
    uint32_t sniffed = copy_with_crc(), computed = crc32(target, BYTES);
    console_text("crc ");
    console_hex(sniffed);
    console_text(sniffed == computed && computed == crc32(source, BYTES) ? " right\n" : " WRONG\n");
    console_flush();
    print_list();
    console_flush();
    return (int)sniffed;
}
