@ TIMER: alarm 0 every 250 us with its interrupt; the core sleeps. After four of them r0 is the time in us. In SRAM.
.include "start.inc"
.section .vectors, "ax"
    .word 0x20040000, reset + 1, 0, hardfault + 1
    .rept 12
    .word 0
    .endr
    .word timer_irq + 1
.balign 256
.text
.thumb_func
reset:
    movs r4, #0
    put TIMER + 0x38, 1         @ INTE
    put NVIC_ISER, 1
    bl arm
1:  wfi
    cmp r4, #4
    bne 1b
    ldr r0, =TIMER
    ldr r0, [r0, #0x28]
    bkpt #0
.thumb_func
arm:
    ldr r0, =TIMER
    ldr r1, [r0, #0x28]
    adds r1, #250
    str r1, [r0, #0x10]
    bx lr
.thumb_func
timer_irq:
    push {r4, lr}
    put TIMER + 0x34, 1
    bl arm
    pop {r4}
    adds r4, #1
    mov r0, r4
    bkpt #1
    pop {pc}
.thumb_func
hardfault:
    bkpt #99
.pool
