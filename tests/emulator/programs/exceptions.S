@ SVC, PendSV, SysTick and interrupts: priorities, nesting, tail-chaining, PRIMASK and WFI. Linked into SRAM.
@ Every handler appends its digit to r4: 1 SVC, 2 and 3 begin and end of IRQ 20, 4 IRQ 21, 5 IRQ 22, 6 PendSV,
@ 7 SysTick. Every BKPT shows r4 in r0.
.include "start.inc"
.section .vectors, "ax"
    .word 0x20040000, reset + 1, 0, hardfault + 1
    .word 0, 0, 0, 0, 0, 0, 0
    .word svcall + 1, 0, 0, pendsv + 1, systick + 1
    .rept 20
    .word 0
    .endr
    .word irq_low + 1       @ IRQ 20
    .word irq_high + 1      @ IRQ 21
    .word irq_tail + 1      @ IRQ 22
.balign 256
.text
.thumb_func
reset:
    movs r4, #0             @ the log
    put SHPR2, 0xc0000000   @ SVC lowest
    put SHPR3, 0x40c00000   @ PendSV lowest, SysTick priority 1
    put NVIC_IPR5, 0x00c000c0 @ IRQ 20: 3, 21: 0, 22: 3 (bytes, from the low end)
    put NVIC_ISER, 0x00700000

    svc #7
    mov r0, r4
    bkpt #1                 @ 1: the handler saw SVC number 7

    cpsid i
    put NVIC_ISPR, 0x00100000
    mov r0, r4
    bkpt #2                 @ unchanged: masked
    cpsie i
    nop
    mov r0, r4
    bkpt #3                 @ 2, 4 nested inside, 3, then 5 tail-chained

    put ICSR, 0x10000000    @ pend PendSV
    nop
    mov r0, r4
    bkpt #4

    put 0xe000e014, 99      @ SysTick every 100 cycles
    put 0xe000e018, 0
    put 0xe000e010, 7
    wfi
    put 0xe000e010, 0
    mov r0, r4
    bkpt #5

    cpsid i                 @ WFI wakes although the interrupt is masked
    put NVIC_ISPR, 0x00400000
    wfi
    mov r0, r4
    bkpt #6
    cpsie i
    nop
    mov r0, r4
    bkpt #7

    ldr r0, =0x20030000     @ the process stack: handlers run on the main one
    msr psp, r0
    movs r0, #2
    msr control, r0
    isb
    svc #7
    mov r0, sp
    bkpt #8
    mrs r0, msp
    bkpt #9
    mrs r0, control
    bkpt #0

.macro log digit
    lsls r4, r4, #4
    adds r4, #\digit
.endm

.thumb_func
svcall:                     @ logs when the SVC instruction's immediate is 7
    movs r0, #4
    mov r1, lr
    tst r0, r1
    beq 1f
    mrs r0, psp
    b 2f
1:  mrs r0, msp
2:  ldr r0, [r0, #24]
    subs r0, #2
    ldrb r0, [r0]
    cmp r0, #7
    bne 3f
    log 1
3:  bx lr
.thumb_func
pendsv:
    log 6
    bx lr
.thumb_func
systick:
    log 7
    bx lr
.thumb_func
irq_low:                    @ pends the two others: one preempts at once, one waits for the end of this handler
    push {r5, lr}
    log 2
    ldr r0, =NVIC_ISPR
    ldr r1, =0x00600000
    str r1, [r0]
    dsb
    log 3
    pop {r5, pc}
.thumb_func
irq_high:
    log 4
    bx lr
.thumb_func
irq_tail:
    log 5
    bx lr
.thumb_func
hardfault:
    bkpt #99
.pool
