/* pair.h in Cortex-M0+ assembly. Cycles in the comments: load 2, LDM 1 + registers, everything else 1, taken branch 2.
 *
 * ASRS by 16 leaves bit 15 in the carry, which ADCS adds: that is the rounding that gives the borrow back. */
    .syntax unified
    .cpu cortex-m0plus
    .thumb

/* Two words of \x times two weights into r2 (whole) and r3 (second). r5, r6 are lost. */
    .macro accumulate
    adds r5, r6
    asrs r6, r5, #16
    adcs r3, r6
    adds r2, r5
    .endm

/* Four words at r0 times four weights at r1: 26 cycles for 8 products. */
    .macro four
    ldmia r1!, {r4}
    ldmia r0!, {r5, r6}
    sxtb r7, r4
    muls r5, r7
    asrs r4, r4, #8
    sxtb r7, r4
    muls r6, r7
    accumulate
    ldmia r0!, {r5, r6}
    asrs r4, r4, #8
    sxtb r7, r4
    muls r5, r7
    asrs r4, r4, #8
    muls r6, r4
    accumulate
    .endm

/* void pair_dots(const int32_t *x, const int8_t *w, uint32_t size, uint32_t pairs, int32_t *sums)
 * r8 sums, r9 w, r10 bytes from a first sum to its second, r11 bytes of a window, r12 end of the first sums, lr end of
 * the window. */
    .section .text.pair_dots, "ax"
    .global pair_dots
    .type pair_dots, %function
    .thumb_func
pair_dots:
    push {r4, r5, r6, r7, lr}
    mov r4, r8
    mov r5, r9
    mov r6, r10
    mov r7, r11
    push {r4, r5, r6, r7}
    ldr r4, [sp, #36]
    mov r8, r4
    mov r9, r1
    lsls r3, r3, #2
    mov r10, r3
    adds r4, r3
    mov r12, r4
    lsls r2, r2, #2
    mov r11, r2
window:
    mov r1, r9
    mov r4, r11
    adds r5, r0, r4
    mov lr, r5
    movs r2, #0
    movs r3, #0
    lsls r4, r4, #27 /* bit 4 of the bytes: an odd number of fours begins in the middle */
    bmi odd
even:
    four
odd:
    four
    cmp r0, lr
    bne even

    lsls r4, r3, #16
    subs r2, r2, r4
    mov r4, r8
    mov r5, r10
    str r3, [r4, r5]
    stmia r4!, {r2}
    mov r8, r4
    cmp r4, r12
    bne window

    pop {r4, r5, r6, r7}
    mov r8, r4
    mov r9, r5
    mov r10, r6
    mov r11, r7
    pop {r4, r5, r6, r7, pc}
    .size pair_dots, . - pair_dots

/* Two taps: words at \xa, \xb times weights at r3: 14 cycles for 4 products. r5 second, r8 whole. */
    .macro taps row_a, offset_a, row_b, offset_b, weight
    ldr r6, [\row_a, #\offset_a]
    ldr r7, [r3, #\weight]
    muls r6, r7
    ldr r4, [\row_b, #\offset_b]
    ldr r7, [r3, #\weight + 4]
    muls r4, r7
    adds r6, r4
    asrs r4, r6, #16
    adcs r5, r4
    add r8, r6
    .endm

/* void pair_slide_3x3(const struct pair_rows *rows, uint32_t pairs, int32_t *sums): 84 cycles a window.
 * r0 to r2 the rows, r3 weights, r9 sums, r10 bytes from a first sum to its second, r11 bytes from window to window,
 * r12 end of the first sums. */
    .section .text.pair_slide_3x3, "ax"
    .global pair_slide_3x3
    .type pair_slide_3x3, %function
    .thumb_func
pair_slide_3x3:
    push {r4, r5, r6, r7, lr}
    mov r4, r8
    mov r5, r9
    mov r6, r10
    mov r7, r11
    push {r4, r5, r6, r7}
    mov r9, r2
    lsls r1, r1, #2
    adds r2, r1
    mov r12, r2
    ldr r1, [r0, #16]
    lsls r1, r1, #2
    mov r10, r1
    ldmia r0!, {r4, r5, r6, r7} /* x, width, stride, w */
    lsls r6, r6, #2
    mov r11, r6
    movs r3, r7
    movs r0, r4
    lsls r5, r5, #2
    adds r1, r0, r5
    adds r2, r1, r5
slide:
    movs r5, #0
    mov r8, r5
    taps r0, 0, r0, 4, 0
    taps r0, 8, r1, 0, 8
    taps r1, 4, r1, 8, 16
    taps r2, 0, r2, 4, 24
    ldr r6, [r2, #8]
    ldr r7, [r3, #32]
    muls r6, r7
    asrs r4, r6, #16
    adcs r5, r4
    add r8, r6

    lsls r4, r5, #16
    mov r6, r8
    subs r6, r6, r4
    mov r4, r9
    mov r7, r10
    str r5, [r4, r7]
    stmia r4!, {r6}
    mov r9, r4
    add r0, r11
    add r1, r11
    add r2, r11
    cmp r4, r12
    bne slide

    pop {r4, r5, r6, r7}
    mov r8, r4
    mov r9, r5
    mov r10, r6
    mov r11, r7
    pop {r4, r5, r6, r7, pc}
    .size pair_slide_3x3, . - pair_slide_3x3
