/* pack.h in Cortex-M0+ assembly: 28 cycles for three pairs. */
    .syntax unified
    .cpu cortex-m0plus
    .thumb

/* One pair at r1 into \word; r2 is the distance, r3 zero, r8 the step. 7 cycles. */
    .macro both word
    ldrsb \word, [r1, r3]
    ldrsb r7, [r1, r2]
    lsls r7, r7, #16
    adds \word, \word, r7
    add r1, r8
    .endm

/* void pack_both(const struct pack_rows *rows)
 * r0 out, r1 first pixels, r4-r6 words, r9 last place for three words, r10 end of the row, r11 end of the last row,
 * r12 bytes from row to row of the words, lr bytes between them; [sp] bytes between rows of values. */
    .section .text.pack_both, "ax"
    .global pack_both
    .type pack_both, %function
    .thumb_func
pack_both:
    push {r4, r5, r6, r7, lr}
    mov r4, r8
    mov r5, r9
    mov r6, r10
    mov r7, r11
    push {r4, r5, r6, r7}
    ldr r3, [r0, #12]
    mov r8, r3
    ldr r4, [r0, #16] /* count */
    muls r3, r4
    ldr r5, [r0, #28]
    subs r5, r5, r3
    push {r5}
    lsls r4, r4, #2
    ldr r6, [r0, #24] /* pitch */
    lsls r6, r6, #2
    mov r12, r6
    subs r7, r6, r4
    mov lr, r7
    ldr r5, [r0, #20] /* rows */
    subs r5, #1
    muls r5, r6
    ldr r1, [r0, #4]
    ldr r2, [r0, #8]
    ldr r0, [r0, #0]
    adds r4, r4, r0
    mov r10, r4
    adds r5, r5, r4
    mov r11, r5
    subs r4, #12
    mov r9, r4
    movs r3, #0
row:
    cmp r0, r9
    bhi rest
three:
    both r4
    both r5
    both r6
    stmia r0!, {r4, r5, r6}
    cmp r0, r9
    bls three
rest:
    cmp r0, r10
    beq row_end
one:
    both r4
    stmia r0!, {r4}
    cmp r0, r10
    bne one
row_end:
    cmp r0, r11
    beq done
    add r0, lr
    ldr r7, [sp]
    adds r1, r1, r7
    add r9, r12
    add r10, r12
    b row
done:
    pop {r3}
    pop {r4, r5, r6, r7}
    mov r8, r4
    mov r9, r5
    mov r10, r6
    mov r11, r7
    pop {r4, r5, r6, r7, pc}
    .size pack_both, . - pack_both

/* void pack_one(const struct pack_rows *row, uint32_t shift, int32_t other): r0 out, r1 shift, r2 other, r3 end,
 * r4 values, r5 step, r6 zero, r7 word. */
    .section .text.pack_one, "ax"
    .global pack_one
    .type pack_one, %function
    .thumb_func
pack_one:
    push {r4, r5, r6, r7, lr}
    ldr r4, [r0, #4]
    ldr r5, [r0, #12]
    ldr r3, [r0, #16]
    ldr r0, [r0, #0]
    lsls r3, r3, #2
    adds r3, r3, r0
    movs r6, #0
value:
    ldrsb r7, [r4, r6]
    lsls r7, r1
    adds r7, r7, r2
    adds r4, r4, r5
    stmia r0!, {r7}
    cmp r0, r3
    bne value
    pop {r4, r5, r6, r7, pc}
    .size pack_one, . - pack_one
