#include "capture.h"

#include <string.h>

#include "clocks.h"
#include "registers.h"
#include "sensor.h"

#define RESETS_PIO0 (1u << 10)
#define SIO_GPIO_IN 0xd0000004u

enum { PCLK = 18, VSYNC = 19, HREF = 20, D0 = 21 };

#define PIO0_CTRL 0x50200000u
#define PIO_SM_ENABLE (1u << 0)
#define PIO_SM_RESTART (1u << 4)
#define PIO0_RXF0 0x50200020u
#define PIO0_INSTR_MEM(n) (0x50200048u + 4u * (n))
#define PIO0_SM0_CLKDIV 0x502000c8u
#define PIO0_SM0_EXECCTRL 0x502000ccu
#define PIO0_SM0_SHIFTCTRL 0x502000d0u
#define PIO0_SM0_INSTR 0x502000d8u
#define PIO0_SM0_PINCTRL 0x502000dcu
#define PIO_AUTOPUSH (1u << 16)
#define PIO_FJOIN_RX (1u << 31)
#define PIO_DREQ_RX0 4u

#define WAIT_GPIO(level, pin) (0x2000u | (uint32_t)(level) << 7 | (uint32_t)(pin))
#define IN_PINS(count) (0x4000u | (uint32_t)(count))
#define JMP(target) ((uint32_t)(target))

#define DMA_AL1_CTRL(n) (0x50000010u + 0x40u * (n))
#define DMA_INTR 0x50000400u
#define DMA_CHAN_ABORT 0x50000444u

#define PATIENCE_US 1000000u /* for a frame: several of the sensor's */

#define BOX (SENSOR_HEIGHT / IMAGE_SIDE)
#define LEFT ((SENSOR_WIDTH - SENSOR_HEIGHT) / 2)

static uint16_t lines[2][SENSOR_WIDTH];     /* RGB565, one filled by DMA while the other is summed */
static uint16_t sums[IMAGE_SIDE][3];        /* of a row of boxes: at most 255 * BOX * BOX */

/* While HREF is high: a byte at each rising edge of PCLK; two make a pixel, the first one its high half. */
static const uint16_t PROGRAM[] = {
    WAIT_GPIO(1, HREF),
    WAIT_GPIO(1, PCLK),
    IN_PINS(8),
    WAIT_GPIO(0, PCLK),
};

void capture_start(void)
{
    CLEAR_ALIAS(RESETS_RESET) = RESETS_DMA | RESETS_PIO0;
    while (~REGISTER(RESETS_RESET_DONE) & (RESETS_DMA | RESETS_PIO0))
        ;
    for (unsigned i = 0; i < sizeof PROGRAM / sizeof *PROGRAM; i++)
        REGISTER(PIO0_INSTR_MEM(i)) = PROGRAM[i];
    REGISTER(PIO0_SM0_CLKDIV) = 1u << 16;
    REGISTER(PIO0_SM0_EXECCTRL) = (sizeof PROGRAM / sizeof *PROGRAM - 1) << 12; /* wrap from the last to the first */
    REGISTER(PIO0_SM0_SHIFTCTRL) = PIO_AUTOPUSH | PIO_FJOIN_RX | 16u << 20;     /* left, 16 bits a push */
    REGISTER(PIO0_SM0_PINCTRL) = (uint32_t)D0 << 15;
}

static uint32_t channel_control(unsigned channel)
{
    return DMA_ENABLE | DMA_HALFWORDS | DMA_INCR_WRITE | DMA_CHAIN_TO(channel ^ 1u) | DMA_TREQ(PIO_DREQ_RX0);
}

static void lines_start(void)
{
    REGISTER(PIO0_CTRL) = PIO_SM_RESTART;
    REGISTER(PIO0_SM0_INSTR) = JMP(0);
    REGISTER(DMA_INTR) = 3;
    for (unsigned channel = 2; channel-- > 0;) {
        REGISTER(DMA_READ_ADDR(channel)) = PIO0_RXF0;
        REGISTER(DMA_WRITE_ADDR(channel)) = (uint32_t)lines[channel];
        REGISTER(DMA_TRANS_COUNT(channel)) = SENSOR_WIDTH;
        REGISTER(channel == 0 ? DMA_CTRL_TRIG(0) : DMA_AL1_CTRL(1)) = channel_control(channel);
    }
    REGISTER(PIO0_CTRL) = PIO_SM_ENABLE;
}

static void lines_stop(void)
{
    REGISTER(PIO0_CTRL) = 0;
    for (unsigned channel = 0; channel < 2; channel++)
        REGISTER(DMA_AL1_CTRL(channel)) = 0; /* no chain starts any more */
    REGISTER(DMA_CHAN_ABORT) = 3;
    while (REGISTER(DMA_CHAN_ABORT))
        ;
}

/* Add the centre pixels of a line to the sums of their boxes, each channel widened to 8 bits. */
static void add_line(const uint16_t *line)
{
    const uint16_t *pixel = line + LEFT;
    for (unsigned x = 0; x < IMAGE_SIDE; x++) {
        uint32_t red = 0, green = 0, blue = 0;
        for (unsigned i = 0; i < BOX; i++) {
            uint32_t value = *pixel++;
            uint32_t r = value >> 11, g = value >> 5 & 63u, b = value & 31u;
            red += r << 3 | r >> 2;
            green += g << 2 | g >> 4;
            blue += b << 3 | b >> 2;
        }
        sums[x][0] = (uint16_t)(sums[x][0] + red);
        sums[x][1] = (uint16_t)(sums[x][1] + green);
        sums[x][2] = (uint16_t)(sums[x][2] + blue);
    }
}

/* Means of the boxes, half up, as shared/resize.py: (2 sum + 25) / 50, by 5243 / 2^18, exact up to 43,000. */
static uint8_t *write_row(uint8_t *out)
{
    for (unsigned x = 0; x < IMAGE_SIDE; x++)
        for (unsigned c = 0; c < 3; c++) {
            *out++ = (uint8_t)(((2u * sums[x][c] + BOX * BOX) * 5243u) >> 18);
            sums[x][c] = 0;
        }
    return out;
}

/* Wait until bit `bit` of a register is `level`; false at `until_us`. */
static bool wait_for(uint32_t address, unsigned bit, unsigned level, uint64_t until_us)
{
    while ((REGISTER(address) >> bit & 1u) != level)
        if (clocks_now_us() > until_us)
            return false;
    return true;
}

static bool capture_lines(uint8_t *image, uint64_t until_us)
{
    for (unsigned y = 0; y < SENSOR_HEIGHT; y++) {
        unsigned channel = y & 1u;
        if (!wait_for(DMA_INTR, channel, 1, until_us))
            return false;
        REGISTER(DMA_INTR) = 1u << channel;
        REGISTER(DMA_WRITE_ADDR(channel)) = (uint32_t)lines[channel]; /* for the line after the next */
        add_line(lines[channel]);
        if (y % BOX == BOX - 1)
            image = write_row(image);
    }
    return true;
}

bool capture_frame(uint8_t *image)
{
    uint64_t until_us = clocks_now_us() + PATIENCE_US;
    memset(sums, 0, sizeof sums);
    /* A frame begins with the next rising edge of VSYNC. */
    if (!wait_for(SIO_GPIO_IN, VSYNC, 0, until_us) || !wait_for(SIO_GPIO_IN, VSYNC, 1, until_us))
        return false;
    lines_start();
    bool whole = capture_lines(image, until_us);
    lines_stop();
    return whole;
}
