/* Second stage of programs that read flash while they run: quad I/O in continuous read mode at clk_sys / 2, for the
 * W25Q chips of the Pico and those that share their commands. A cache line costs 64 cycles instead of boot2.S's 392.
 *
 * Position-independent, at most 252 bytes; firmware_sim/firmware/boot2.py pads it and appends the CRC. */
    .syntax unified
    .cpu cortex-m0plus
    .thumb

    .equ XIP_BASE, 0x10000000
    .equ VECTORS, XIP_BASE + 0x100
    .equ VTOR, 0xe000ed08
    .equ SSI, 0x18000000 /* RP2040 datasheet 4.10.13 */
    .equ CTRLR0, 0x00
    .equ CTRLR1, 0x04
    .equ SSIENR, 0x08
    .equ BAUDR, 0x14
    .equ SR, 0x28
    .equ DR0, 0x60
    .equ RX_SAMPLE_DLY, 0xf0
    .equ SPI_CTRLR0, 0xf4
    .equ SR_BUSY, 1
    .equ SR_TFE, 4

    .equ CTRLR0_BYTES, 7 << 16 /* 8 bits a frame, send and receive */
    /* Four lanes (2 << 21), 32 bits a frame, "EEPROM read". */
    .equ CTRLR0_XIP, (2 << 21) | (31 << 16) | (3 << 8)
    /* 4 dummy cycles, address and mode bits of 8 nibbles; first with an 8-bit command on one lane, then without. */
    .equ SPI_CTRLR0_ENTER, (4 << 11) | (2 << 8) | (8 << 2) | 1
    .equ MODE_CONTINUOUS, 0xa0
    .equ SPI_CTRLR0_XIP, (MODE_CONTINUOUS << 24) | (4 << 11) | (8 << 2) | 2
    .equ CLOCK_DIVIDER, 2

    .equ READ_STATUS_1, 0x05
    .equ WRITE_STATUS, 0x01
    .equ WRITE_ENABLE, 0x06
    .equ READ_STATUS_2, 0x35
    .equ FAST_READ_QUAD_IO, 0xeb
    .equ STATUS_1_BUSY, 1
    .equ STATUS_2_QUAD_ENABLE, 2

    .macro send value
    movs r1, #\value
    str r1, [r3, #DR0]
    .endm

    .macro receive
    ldr r0, [r3, #DR0]
    .endm

    .section .boot2, "ax"
    .global boot2
    .thumb_func
boot2:
    ldr r3, =SSI
    movs r4, #0
    movs r5, #1
    str r4, [r3, #SSIENR] /* settings change only while it is off */
    movs r1, #CLOCK_DIVIDER
    str r1, [r3, #BAUDR]
    movs r2, #RX_SAMPLE_DLY
    str r5, [r3, r2] /* the answer arrives late at this rate */
    ldr r1, =CTRLR0_BYTES
    str r1, [r3, #CTRLR0]
    str r5, [r3, #SSIENR]

    send READ_STATUS_2
    send 0
    bl idle
    receive
    receive
    movs r1, #STATUS_2_QUAD_ENABLE
    tst r0, r1
    bne quad
    send WRITE_ENABLE
    bl idle
    receive
    send WRITE_STATUS
    send 0
    send STATUS_2_QUAD_ENABLE
    bl idle
    receive
    receive
    receive
busy:
    send READ_STATUS_1
    send 0
    bl idle
    receive
    receive
    movs r1, #STATUS_1_BUSY
    tst r0, r1
    bne busy

quad:
    str r4, [r3, #SSIENR]
    ldr r1, =CTRLR0_XIP
    str r1, [r3, #CTRLR0]
    str r4, [r3, #CTRLR1] /* one data frame a read */
    movs r2, #SPI_CTRLR0
    ldr r1, =SPI_CTRLR0_ENTER
    str r1, [r3, r2]
    str r5, [r3, #SSIENR]
    send FAST_READ_QUAD_IO
    send MODE_CONTINUOUS /* address 0 and the mode bits: from now on reads go without the command */
    bl idle
    str r4, [r3, #SSIENR]
    ldr r1, =SPI_CTRLR0_XIP
    str r1, [r3, r2]
    str r5, [r3, #SSIENR]

    ldr r0, =VECTORS
    ldr r1, =VTOR
    str r0, [r1]
    ldmia r0!, {r1, r2} /* initial stack pointer, reset handler */
    msr msp, r1
    bx r2

/* Wait until all that was sent is out. r0, r1 are lost. */
    .thumb_func
idle:
    movs r1, #SR_BUSY | SR_TFE
again:
    ldr r0, [r3, #SR]
    ands r0, r1
    cmp r0, #SR_TFE
    bne again
    bx lr
    .ltorg
