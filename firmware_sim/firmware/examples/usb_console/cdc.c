#include "cdc.h"

#include "clocks.h"
#include "descriptors.h"
#include "registers.h"
#include "usb.h"

#define PACKET 64u
#define RING 512u
#define OUT_BUFFER USB_FIRST_BUFFER
#define IN_BUFFER (USB_FIRST_BUFFER + PACKET)
#define NOTIFY_BUFFER (USB_FIRST_BUFFER + 2u * PACKET)

#define GET_STATUS 0
#define SET_ADDRESS 5
#define GET_DESCRIPTOR 6
#define GET_CONFIGURATION 8
#define SET_CONFIGURATION 9
#define SET_LINE_CODING 0x20
#define GET_LINE_CODING 0x21
#define SET_CONTROL_LINE_STATE 0x22

struct ring {
    uint8_t bytes[RING];
    volatile uint32_t head, tail; /* both count up and wrap at 2^32 */
};

static struct ring received, sending;
static volatile bool open, in_busy, out_armed, woken;
static uint32_t in_pid, out_pid, ep0_pid;
static uint8_t address, configured;
static uint8_t line_coding[7] = {0x00, 0xc2, 0x01, 0x00, 0, 0, 8}; /* 115200 8N1 */
static uint8_t answer[DESCRIPTOR_LARGEST];
static uint32_t answer_size, answer_sent;
static bool answering, taking_coding;

static volatile uint8_t *ram(uint32_t offset)
{
    return (volatile uint8_t *)(USB_DPRAM + offset);
}

/* AVAILABLE must follow the rest of the word by a cycle of clk_usb or more (4.1.2.5.1). */
static void arm(uint32_t ep, uint32_t out, uint32_t word)
{
    USB_BUF_CTRL(ep, out) = word;
    __asm__ volatile("nop; nop; nop; nop; nop; nop; nop; nop; nop; nop; nop; nop");
    USB_BUF_CTRL(ep, out) = word | USB_BUF_AVAILABLE;
}

static void ep0_send(void)
{
    uint32_t size = answer_size - answer_sent;
    size = size < PACKET ? size : PACKET;
    for (uint32_t i = 0; i < size; i++)
        ram(USB_EP0_BUFFER)[i] = answer[answer_sent + i];
    answer_sent += size;
    arm(0, 0, USB_BUF_FULL | (ep0_pid ? USB_BUF_DATA1 : 0) | size);
    ep0_pid ^= 1;
}

/* The data stage of a request to the host; shorter than asked for is fine. */
static void ep0_answer(uint32_t size, uint32_t asked)
{
    answer_size = size < asked ? size : asked;
    answer_sent = 0;
    answering = true;
    ep0_send();
}

static void ep0_status(void)
{
    arm(0, 0, USB_BUF_FULL | USB_BUF_DATA1);
}

static void ep0_stall(void)
{
    REGISTER(USB_EP_STALL_ARM) = 3;
    USB_BUF_CTRL(0, 0) = USB_BUF_STALL;
    USB_BUF_CTRL(0, 1) = USB_BUF_STALL;
}

static void bulk_out_arm(void)
{
    out_armed = true;
    arm(CDC_OUT, 1, (out_pid ? USB_BUF_DATA1 : 0) | PACKET);
    out_pid ^= 1;
}

static void bulk_in_send(void)
{
    uint32_t size = sending.head - sending.tail;
    if (size == 0 || in_busy)
        return;
    size = size < PACKET - 1 ? size : PACKET - 1; /* a short packet: the host passes it on at once */
    for (uint32_t i = 0; i < size; i++)
        ram(IN_BUFFER)[i] = sending.bytes[(sending.tail + i) % RING];
    sending.tail += size;
    in_busy = true;
    arm(CDC_IN, 0, USB_BUF_FULL | (in_pid ? USB_BUF_DATA1 : 0) | size);
    in_pid ^= 1;
}

static void configure(void)
{
    in_pid = out_pid = 0;
    in_busy = false;
    USB_EP_CTRL(CDC_NOTIFY, 0) = USB_EP_CTRL_ENABLE | USB_EP_CTRL_INT_1BUF | USB_EP_CTRL_INTERRUPT | NOTIFY_BUFFER;
    USB_EP_CTRL(CDC_OUT, 1) = USB_EP_CTRL_ENABLE | USB_EP_CTRL_INT_1BUF | USB_EP_CTRL_BULK | OUT_BUFFER;
    USB_EP_CTRL(CDC_IN, 0) = USB_EP_CTRL_ENABLE | USB_EP_CTRL_INT_1BUF | USB_EP_CTRL_BULK | IN_BUFFER;
    bulk_out_arm();
}

static void setup(void)
{
    uint8_t packet[8];
    for (uint32_t i = 0; i < sizeof packet; i++)
        packet[i] = ram(0)[i];
    uint8_t request = packet[1];
    uint32_t asked = packet[6] | (uint32_t)packet[7] << 8;
    bool to_host = packet[0] >> 7;
    ep0_pid = 1;
    answering = taking_coding = false;
    if (request == GET_DESCRIPTOR && to_host) {
        uint32_t size = descriptor_find(packet[3], packet[2], answer);
        if (size)
            ep0_answer(size, asked);
        else
            ep0_stall();
    } else if (request == GET_LINE_CODING && to_host) {
        for (uint32_t i = 0; i < sizeof line_coding; i++)
            answer[i] = line_coding[i];
        ep0_answer(sizeof line_coding, asked);
    } else if (request == GET_STATUS && to_host) {
        answer[0] = answer[1] = 0;
        ep0_answer(2, asked);
    } else if (request == GET_CONFIGURATION && to_host) {
        answer[0] = configured;
        ep0_answer(1, asked);
    } else if (request == SET_ADDRESS) {
        address = packet[2]; /* valid after the status stage */
        ep0_status();
    } else if (request == SET_CONFIGURATION) {
        configured = packet[2];
        if (configured)
            configure();
        ep0_status();
    } else if (request == SET_LINE_CODING) {
        taking_coding = true;
        arm(0, 1, USB_BUF_DATA1 | PACKET);
    } else if (request == SET_CONTROL_LINE_STATE) {
        open = packet[2] & 1u;
        ep0_status();
    } else {
        ep0_stall();
    }
}

static void bus_reset(void)
{
    REGISTER(USB_ADDR_ENDP) = 0;
    address = configured = 0;
    open = in_busy = false;
}

static void ep0_in_done(void)
{
    if (address) {
        REGISTER(USB_ADDR_ENDP) = address;
        address = 0;
    }
    if (!answering)
        return;
    if (answer_sent < answer_size)
        ep0_send();
    else
        arm(0, 1, USB_BUF_DATA1); /* the host's empty status packet */
}

static void ep0_out_done(void)
{
    if (taking_coding) {
        taking_coding = false;
        for (uint32_t i = 0; i < sizeof line_coding; i++)
            line_coding[i] = ram(USB_EP0_BUFFER)[i];
        ep0_status();
    }
}

static void bulk_out_done(void)
{
    uint32_t size = USB_BUF_CTRL(CDC_OUT, 1) & USB_BUF_LENGTH;
    for (uint32_t i = 0; i < size; i++)
        received.bytes[(received.head + i) % RING] = ram(OUT_BUFFER)[i];
    received.head += size;
    out_armed = false;
    if (RING - (received.head - received.tail) >= PACKET)
        bulk_out_arm(); /* else cdc_read does it: until then the host gets NAK */
}

void usbctrl_irq(void)
{
    woken = true;
    uint32_t interrupts = REGISTER(USB_INTS);
    if (interrupts & USB_INT_BUFF_STATUS) {
        uint32_t buffers = REGISTER(USB_BUFF_STATUS);
        CLEAR_ALIAS(USB_BUFF_STATUS) = buffers;
        if (buffers & 1u)
            ep0_in_done();
        if (buffers & 2u)
            ep0_out_done();
        if (buffers & 1u << (2 * CDC_OUT + 1))
            bulk_out_done();
        if (buffers & 1u << (2 * CDC_IN)) {
            in_busy = false;
            bulk_in_send();
        }
    }
    if (interrupts & USB_INT_SETUP_REQ) {
        CLEAR_ALIAS(USB_SIE_STATUS) = USB_SIE_STATUS_SETUP_REC;
        setup();
    }
    if (interrupts & USB_INT_BUS_RESET) {
        CLEAR_ALIAS(USB_SIE_STATUS) = USB_SIE_STATUS_BUS_RESET;
        bus_reset();
    }
}

static void start_usb_clock(void)
{
    clocks_reset(RESETS_PLL_USB);
    REGISTER(PLL_USB_CS) = 1;
    REGISTER(PLL_USB_FBDIV_INT) = 100; /* VCO 1200 MHz; / 5 / 5 is 48 MHz */
    CLEAR_ALIAS(PLL_USB_PWR) = PLL_PWR_PD | PLL_PWR_VCOPD;
    while (!(REGISTER(PLL_USB_CS) & PLL_CS_LOCK))
        ;
    REGISTER(PLL_USB_PRIM) = PLL_PRIM_POSTDIV1(5) | PLL_PRIM_POSTDIV2(5);
    CLEAR_ALIAS(PLL_USB_PWR) = PLL_PWR_POSTDIVPD;
    REGISTER(CLK_USB_CTRL) = CLK_USB_ENABLE;
}

void cdc_start(void)
{
    start_usb_clock();
    clocks_reset(RESETS_USBCTRL);
    for (uint32_t at = 0; at < USB_DPRAM_BYTES; at += 4)
        REGISTER(USB_DPRAM + at) = 0;
    REGISTER(USB_MUXING) = USB_MUXING_TO_PHY | USB_MUXING_SOFTCON;
    REGISTER(USB_PWR) = USB_PWR_VBUS_DETECT | USB_PWR_VBUS_DETECT_OVERRIDE_EN;
    REGISTER(USB_MAIN_CTRL) = USB_MAIN_CTRL_CONTROLLER_EN;
    REGISTER(USB_SIE_CTRL) = USB_SIE_CTRL_EP0_INT_1BUF;
    REGISTER(USB_INTE) = USB_INT_BUFF_STATUS | USB_INT_BUS_RESET | USB_INT_SETUP_REQ;
    REGISTER(NVIC_ICPR) = 1u << USBCTRL_IRQ;
    REGISTER(NVIC_ISER) = 1u << USBCTRL_IRQ;
    SET_ALIAS(USB_SIE_CTRL) = USB_SIE_CTRL_PULLUP_EN;
}

bool cdc_open(void)
{
    return open;
}

uint32_t cdc_read(uint8_t *bytes, uint32_t count)
{
    uint32_t available = received.head - received.tail;
    count = available < count ? available : count;
    for (uint32_t i = 0; i < count; i++)
        bytes[i] = received.bytes[(received.tail + i) % RING];
    received.tail += count;
    __asm__ volatile("cpsid i" ::: "memory");
    if (configured && !out_armed && RING - (received.head - received.tail) >= PACKET)
        bulk_out_arm();
    __asm__ volatile("cpsie i" ::: "memory");
    return count;
}

void cdc_flush(void)
{
    while (open && (in_busy || sending.head != sending.tail))
        ;
}

void cdc_wait(void)
{
    /* With interrupts masked none can slip in between the test and WFI; a pending one still ends WFI. */
    __asm__ volatile("cpsid i" ::: "memory");
    if (!woken && received.head == received.tail)
        __asm__ volatile("wfi" ::: "memory");
    woken = false;
    __asm__ volatile("cpsie i" ::: "memory");
}

void cdc_write(const uint8_t *bytes, uint32_t count)
{
    for (uint32_t i = 0; i < count && open; i++) {
        while (sending.head - sending.tail == RING && open)
            ;
        sending.bytes[sending.head % RING] = bytes[i];
        sending.head++;
        __asm__ volatile("cpsid i" ::: "memory");
        bulk_in_send();
        __asm__ volatile("cpsie i" ::: "memory");
    }
}
