/* requantise_sums_right of requantise.h in Cortex-M0+ assembly: 40 cycles an output inside the activation's range. */
    .syntax unified
    .cpu cortex-m0plus
    .thumb

/* void requantise_sums_right(const struct requantisation *channel, const int32_t *sums, uint32_t count, int8_t *out,
 *                            uint32_t step)
 * r4 low half of the multiplier, r5 high half, r6 sums, r7 out, r8 bias, r9 -shift - 1, r10 2^14,
 * r11 1 + 2 * (zero_point - low): added before the last halving, it also moves the range to begin at 0,
 * r12 high - low, lr end of the sums; on the stack: low, step. */
    .section .text.requantise_sums_right, "ax"
    .global requantise_sums_right
    .type requantise_sums_right, %function
    .thumb_func
requantise_sums_right:
    push {r4, r5, r6, r7, lr}
    mov r4, r8
    mov r5, r9
    mov r6, r10
    mov r7, r11
    push {r4, r5, r6, r7}
    movs r6, r1
    movs r7, r3
    lsls r2, r2, #2
    adds r2, r6
    mov lr, r2
    ldr r1, [r0, #0]
    mov r8, r1
    ldr r4, [r0, #4]
    lsrs r5, r4, #16
    uxth r4, r4
    ldr r1, [r0, #8]
    mvns r1, r1 /* -shift - 1 */
    mov r9, r1
    movs r1, #1
    lsls r1, r1, #14
    mov r10, r1
    ldr r1, [r0, #12]
    ldr r2, [r0, #16]
    subs r1, r1, r2
    lsls r1, r1, #1
    adds r1, #1
    mov r11, r1
    ldr r1, [r0, #20]
    subs r1, r1, r2
    mov r12, r1
    ldr r3, [sp, #36]
    push {r2, r3}
next:
    ldmia r6!, {r0}
    add r0, r8
    uxth r1, r0 /* al */
    asrs r0, r0, #16 /* ah */
    movs r2, r1
    muls r2, r4
    lsrs r2, r2, #16
    movs r3, r0
    muls r3, r4
    adds r2, r3 /* ah * ql + (al * ql >> 16) */
    muls r1, r5
    muls r0, r5
    asrs r3, r2, #16
    adds r0, r3
    uxth r2, r2
    adds r1, r2
    add r1, r10
    lsrs r1, r1, #15
    lsls r0, r0, #1
    adds r0, r1 /* (a * q + 2^30) >> 31 */
    asrs r1, r0, #31
    adds r0, r1 /* ties away from zero */
    mov r1, r9
    asrs r0, r1
    add r0, r11
    asrs r0, r0, #1 /* result - low */
    cmp r0, r12
    bhi outside
inside:
    ldr r1, [sp, #0]
    adds r0, r1
    strb r0, [r7]
    ldr r1, [sp, #4]
    adds r7, r1
    cmp r6, lr
    bne next

    add sp, #8
    pop {r4, r5, r6, r7}
    mov r8, r4
    mov r9, r5
    mov r10, r6
    mov r11, r7
    pop {r4, r5, r6, r7, pc}
outside: /* below 0 it is 0, above high - low that */
    asrs r1, r0, #31
    mvns r1, r1
    mov r0, r12
    ands r0, r1
    b inside
    .size requantise_sums_right, . - requantise_sums_right
