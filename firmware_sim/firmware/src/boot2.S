/* Second stage: the boot ROM copies these 256 bytes to SRAM, checks their CRC-32 and jumps here. It sets the flash
 * interface up for execution in place with the plain serial read, command 03h, that every flash chip knows, and
 * starts the program. Speed hardly matters: the program runs from SRAM.
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
    .equ SPI_CTRLR0, 0xf4

    /* One-bit SPI, 32 clocks a data frame (31 << 16), "EEPROM read": send the command, then receive (3 << 8). */
    .equ CTRLR0_XIP, (31 << 16) | (3 << 8)
    /* Command 03h, 8 bits of command (2 << 8), 24 bits of address (6 << 2, in units of 4). */
    .equ SPI_CTRLR0_XIP, (0x03 << 24) | (2 << 8) | (6 << 2)
    /* clk_sys / 4: 31.25 MHz at 125 MHz, below the 50 MHz of the slowest 03h parts. */
    .equ CLOCK_DIVIDER, 4

    .section .boot2, "ax"
    .global boot2
    .thumb_func
boot2:
    ldr r3, =SSI
    movs r0, #0
    str r0, [r3, #SSIENR] /* settings change only while it is off */
    movs r1, #CLOCK_DIVIDER
    str r1, [r3, #BAUDR]
    ldr r1, =CTRLR0_XIP
    str r1, [r3, #CTRLR0]
    movs r2, r3
    adds r2, #SPI_CTRLR0
    ldr r1, =SPI_CTRLR0_XIP
    str r1, [r2]
    str r0, [r3, #CTRLR1] /* one data frame a read */
    movs r1, #1
    str r1, [r3, #SSIENR]

    ldr r0, =VECTORS
    ldr r1, =VTOR
    str r0, [r1]
    ldmia r0!, {r1, r2} /* initial stack pointer, reset handler */
    msr msp, r1
    bx r2
    .ltorg
