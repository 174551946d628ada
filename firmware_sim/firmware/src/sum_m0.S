/* sum.h in Cortex-M0+ assembly: 13 cycles a value and 3 for four of them. */
    .syntax unified
    .cpu cortex-m0plus
    .thumb

/* The value at r2: r0 and r1 bytes from there are its inputs, r3 and r4 their factors, r8 the constant, r7 INTERP1. */
    .macro value
    ldrsb r5, [r2, r0]
    ldrsb r6, [r2, r1]
    muls r5, r3
    muls r6, r4
    adds r5, r6
    add r5, r8
    str r5, [r7, #64]
    ldr r5, [r7, #96]
    strb r5, [r2]
    adds r2, #1
    .endm

/* void sum_values(const struct sum *sum); r12 end */
    .section .text.sum_values, "ax"
    .global sum_values
    .type sum_values, %function
    .thumb_func
sum_values:
    push {r4, r5, r6, r7, lr}
    mov r4, r8
    push {r4}
    ldr r7, =0xd0000080
    ldr r2, [r0, #8]
    ldr r1, [r0, #4]
    subs r1, r1, r2
    ldr r4, [r0, #12] /* count */
    adds r5, r2, r4
    mov r12, r5
    lsls r6, r4, #30
    ldr r3, [r0, #24]
    mov r8, r3
    ldr r3, [r0, #16]
    ldr r4, [r0, #20]
    ldr r0, [r0, #0]
    subs r0, r0, r2
    lsrs r6, r6, #30 /* values before whole fours */
    beq fours
    add r6, r2
    mov lr, r6
one:
    value
    cmp r2, lr
    bne one
fours:
    cmp r2, r12
    beq done
four:
    value
    value
    value
    value
    cmp r2, r12
    bne four
done:
    pop {r4}
    mov r8, r4
    pop {r4, r5, r6, r7, pc}
    .ltorg
    .size sum_values, . - sum_values
