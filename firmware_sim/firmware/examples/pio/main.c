/* Sends colours to WS2812 LEDs on GPIO 2 by PIO and DMA; a second state machine reads them back from the pin. */
#include "console.h"
#include "dma.h"
#include "pio.h"
#include "registers.h"

#define LEDS 30u
#define LED_PIN 2u
#define GPIO_CTRL(pin) (0x40014004u + 8u * (pin))
#define FUNCTION_PIO0 6u
#define SEND 0u /* state machines, and their DMA channels */
#define RECEIVE 1u

/* 800,000 bits a second of ten ticks: low for 3, then high for 7 (a one), or high for 2 and low for 5 more (a zero). */
static const uint16_t PROGRAM[] = {
    0x6221, /* 0: out x, 1       side 0 [2] */
    0x1123, /* 1: jmp !x, 3      side 1 [1] */
    0x1400, /* 2: jmp 0          side 1 [4] */
    0xa442, /* 3: nop            side 0 [4] */
    0x23a0, /* 4: wait 1 pin 0          [3]   the receiver looks in the middle */
    0x4001, /* 5: in pins, 1 */
    0x2020, /* 6: wait 0 pin 0 */
};
#define CLKDIV_8MHZ (15u << 16 | 160u << 8) /* 125 MHz / 15.625 */

static uint32_t colours[LEDS], received[LEDS];

static void state_machine(uint32_t sm, uint32_t wrap, uint32_t shift, uint32_t pins)
{
    REGISTER(PIO_CLKDIV(sm)) = CLKDIV_8MHZ;
    REGISTER(PIO_EXECCTRL(sm)) = wrap;
    REGISTER(PIO_SHIFTCTRL(sm)) = shift;
    REGISTER(PIO_PINCTRL(sm)) = pins | PIO_SET_BASE(LED_PIN);
}

int main(void)
{
    console_start();
    CLEAR_ALIAS(RESETS_RESET) = RESETS_DMA | RESETS_PIO0;
    while (~REGISTER(RESETS_RESET_DONE) & (RESETS_DMA | RESETS_PIO0))
        ;
    for (uint32_t i = 0; i < LEDS; i++) /* GRB in the upper 24 bits, a rainbow of sorts */
        colours[i] = (i * 8u << 24) | ((255u - i * 8u) << 16) | (((i * 37u) & 255u) << 8);
    for (uint32_t i = 0; i < sizeof PROGRAM / sizeof PROGRAM[0]; i++)
        REGISTER(PIO_INSTR_MEM(i)) = PROGRAM[i];
    REGISTER(GPIO_CTRL(LED_PIN)) = FUNCTION_PIO0;

    state_machine(SEND, PIO_WRAP(0, 3), PIO_AUTOPULL | PIO_PULL_BITS(24), PIO_SIDE_BASE(LED_PIN));
    state_machine(RECEIVE, PIO_WRAP(4, 6), PIO_AUTOPUSH | PIO_PUSH_BITS(24), PIO_IN_BASE(LED_PIN));
    REGISTER(PIO_INSTR(SEND)) = PIO_SET_PINDIRS(1);
    REGISTER(PIO_INSTR(SEND)) = PIO_JMP(0);
    REGISTER(PIO_INSTR(RECEIVE)) = PIO_JMP(4);

    REGISTER(DMA_READ_ADDR(RECEIVE)) = PIO_RXF(RECEIVE);
    REGISTER(DMA_WRITE_ADDR(RECEIVE)) = (uint32_t)received;
    REGISTER(DMA_TRANS_COUNT(RECEIVE)) = LEDS;
    REGISTER(DMA_CTRL_TRIG(RECEIVE)) =
        DMA_EN | DMA_WORDS | DMA_INCR_WRITE | DMA_CHAIN_TO(RECEIVE) | DMA_TREQ(DREQ_PIO0_RX(RECEIVE));
    REGISTER(DMA_READ_ADDR(SEND)) = (uint32_t)colours;
    REGISTER(DMA_WRITE_ADDR(SEND)) = PIO_TXF(SEND);
    REGISTER(DMA_TRANS_COUNT(SEND)) = LEDS;
    REGISTER(DMA_CTRL_TRIG(SEND)) =
        DMA_EN | DMA_WORDS | DMA_INCR_READ | DMA_CHAIN_TO(SEND) | DMA_TREQ(DREQ_PIO0_TX(SEND));
    REGISTER(PIO_CTRL) = 1u << SEND | 1u << RECEIVE;
    while (REGISTER(DMA_CTRL_TRIG(RECEIVE)) & DMA_BUSY)
        ;

    uint32_t right = 0;
    for (uint32_t i = 0; i < LEDS; i++)
        right += received[i] == colours[i] >> 8;
    console_text("leds ");
    console_number(right);
    console_text(" of ");
    console_number(LEDS);
    console_text(" first ");
    console_hex(received[1]);
    console_text("\n");
    console_flush();
    return (int)right;
}
