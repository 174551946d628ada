@ As a real firmware starts: second stage, crystal, PLL at 125 MHz, UART0 at 115,200 baud with interrupts; then every
@ received byte is sent back with its case changed, and 'q' ends the program. The main loop sleeps.
.include "start.inc"
.include "boot2.inc"
.section .vectors, "ax"
    .word 0x20040000, reset + 1, 0, hardfault + 1
    .rept 32
    .word 0
    .endr
    .word uart_irq + 1      @ IRQ 20
.balign 256
.text
.thumb_func
reset:
    put RESETS_CLR, 0x00401120  @ UART0, PLL_SYS, PADS_BANK0, IO_BANK0
    put XOSC, 0xfabaa0          @ CTRL: enable, 1-15 MHz
1:  ldr r0, =XOSC
    ldr r0, [r0, #4]
    lsrs r0, r0, #31
    beq 1b
    put PLL_SYS, 1
    put PLL_SYS + 8, 125        @ FBDIV_INT: 12 MHz * 125 = 1500 MHz
    put PLL_SYS + 0x3004, 0x21  @ PWR: VCO and core on
2:  ldr r0, =PLL_SYS
    ldr r0, [r0]
    lsrs r0, r0, #31
    beq 2b
    put PLL_SYS + 12, 0x62000   @ PRIM: / 6 / 2
    put PLL_SYS + 0x3004, 8
    put CLOCKS + 0x30, 2        @ clk_ref from the crystal
    put CLOCKS + 0x3c, 0        @ clk_sys: auxiliary source PLL_SYS, then select it
    put CLOCKS + 0x203c, 1
3:  ldr r0, =CLOCKS + 0x44
    ldr r0, [r0]
    cmp r0, #2
    bne 3b
    put CLK_PERI_CTRL, 0x800
    put WATCHDOG + 0x2c, 0x20c  @ TICK: 12 cycles of clk_ref
    put UART0 + 0x24, 67        @ 125 MHz / 16 / 115200 = 67.8168
    put UART0 + 0x28, 52
    put UART0 + 0x2c, 0x70
    put UART0 + 0x30, 0x301
    put UART0 + 0x38, 0x50      @ RX and RX timeout
    put NVIC_ISER, 0x00100000
    adr r4, greeting
4:  ldrb r0, [r4]
    adds r4, #1
    cmp r0, #0
    beq 5f
    bl send
    b 4b
5:  wfi
    b 5b

.thumb_func
send:                           @ r0; uses r1-r3
    ldr r1, =UART0
6:  ldr r2, [r1, #0x18]
    movs r3, #0x20
    tst r2, r3
    bne 6b
    str r0, [r1]
    bx lr

.thumb_func
uart_irq:
    push {r4, lr}
    ldr r4, =UART0
7:  ldr r0, [r4, #0x18]
    movs r1, #0x10
    tst r0, r1
    bne 8f
    ldr r0, [r4]
    uxtb r0, r0
    cmp r0, #'q'
    beq 9f
    movs r1, #0x20
    eors r0, r1
    bl send
    b 7b
8:  put UART0 + 0x44, 0x50
    pop {r4, pc}
9:  ldr r0, =TIMER
    ldr r0, [r0, #0x28]
    bkpt #0
.thumb_func
hardfault:
    bkpt #99
.balign 4
greeting: .asciz "ready\n"
.balign 4
.pool
