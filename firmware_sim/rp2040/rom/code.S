/* The parts of the emulated boot ROM that run as Thumb code, written for this project from the datasheet's description
 * (RP2040 datasheet 2.8.2.2 and 2.8.3): memory and bit functions, the table lookup, the debugger's trampoline and the
 * hand-over of core 1. Running them as code lets interrupts, bus faults and the flash's wait states hit them as on the
 * chip. assemble.py turns this into code.py. */
    .syntax unified
    .cpu cortex-m0plus
    .thumb
    .text

    .equ SIO, 0xd0000000
    .equ FIFO_ST, 0x50 /* bit 0 VLD: a word is there; bit 1 RDY: there is room */
    .equ FIFO_WR, 0x54
    .equ FIFO_RD, 0x58
    .equ VTOR, 0xe000ed08

/* r0 = table, r1 = code: the halfword behind the code, 0 when the table ends. */
    .thumb_func
    .global lookup
lookup:
    ldrh r2, [r0]
    ldrh r3, [r0, #2]
    adds r0, #4
    cmp r2, #0
    beq 1f
    cmp r2, r1
    bne lookup
    movs r0, r3
    bx lr
1:  movs r0, #0
    bx lr

/* A fault before the firmware has set VTOR ends here, and core 1 when its program returns. */
    .thumb_func
    .global dead
dead:
    b dead

/* r0 = r0's bits set, counted in parallel by 2, 4 and 8; the last sum is a multiplication. */
    .thumb_func
    .global popcount32
popcount32:
    ldr r2, =0x55555555
    lsrs r1, r0, #1
    ands r1, r2
    subs r0, r1
    ldr r2, =0x33333333
    lsrs r1, r0, #2
    ands r1, r2
    ands r0, r2
    adds r0, r1
    ldr r2, =0x0f0f0f0f
    lsrs r1, r0, #4
    adds r0, r1
    ands r0, r2
    ldr r2, =0x01010101
    muls r0, r2
    lsrs r0, #24
    bx lr

/* r0 = r0's bits in reverse order: swap neighbours, pairs, nibbles, then bytes. */
    .thumb_func
    .global reverse32
reverse32:
    ldr r2, =0x55555555
    lsrs r1, r0, #1
    ands r1, r2
    ands r0, r2
    lsls r0, #1
    orrs r0, r1
    ldr r2, =0x33333333
    lsrs r1, r0, #2
    ands r1, r2
    ands r0, r2
    lsls r0, #2
    orrs r0, r1
    ldr r2, =0x0f0f0f0f
    lsrs r1, r0, #4
    ands r1, r2
    ands r0, r2
    lsls r0, #4
    orrs r0, r1
    rev r0, r0
    bx lr

/* r0 = zeros above the highest bit set of r0, 32 for 0. */
    .thumb_func
    .global clz32
clz32:
    movs r1, #28
    lsrs r2, r0, #16
    beq 1f
    subs r1, #16
    movs r0, r2
1:  lsrs r2, r0, #8
    beq 2f
    subs r1, #8
    movs r0, r2
2:  lsrs r2, r0, #4
    beq 3f
    subs r1, #4
    movs r0, r2
3:  adr r2, zeros_of_nibble
    ldrb r0, [r2, r0]
    adds r0, r1
    bx lr

/* r0 = zeros below the lowest bit set of r0, 32 for 0: 31 - clz(x & -x). */
    .thumb_func
    .global ctz32
ctz32:
    rsbs r1, r0, #0
    ands r0, r1
    beq 1f
    mov r3, lr
    bl clz32
    movs r1, #31
    subs r0, r1, r0
    bx r3
1:  movs r0, #32
    bx lr

    .balign 4
zeros_of_nibble:
    .byte 4, 3, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0

/* memset(r0 = target, r1 = byte, r2 = count), r0 stays. The second entry wants an aligned target. */
    .thumb_func
    .global memset
memset:
    mov r12, r0
1:  lsls r3, r0, #30
    beq memset_words
    subs r2, #1
    bcc 9f
    strb r1, [r0]
    adds r0, #1
    b 1b
    .thumb_func
    .global memset4
memset4:
    mov r12, r0
memset_words:
    uxtb r1, r1
    lsls r3, r1, #8
    orrs r1, r3
    lsls r3, r1, #16
    orrs r1, r3
    movs r3, r1
    subs r2, #16
    bcc 3f
    push {r4, r5}
    movs r4, r1
    movs r5, r1
2:  stmia r0!, {r1, r3, r4, r5}
    subs r2, #16
    bcs 2b
    pop {r4, r5}
3:  adds r2, #16
4:  subs r2, #4
    bcc 5f
    stmia r0!, {r1}
    b 4b
5:  adds r2, #4
6:  subs r2, #1
    bcc 9f
    strb r1, [r0]
    adds r0, #1
    b 6b
9:  mov r0, r12
    bx lr

/* memcpy(r0 = target, r1 = source, r2 = count), r0 stays. The second entry wants both aligned. */
    .thumb_func
    .global memcpy
memcpy:
    mov r12, r0
    movs r3, r0
    eors r3, r1
    lsls r3, #30
    bne 8f
1:  lsls r3, r0, #30
    beq memcpy_words
    subs r2, #1
    bcc 9b
    ldrb r3, [r1]
    strb r3, [r0]
    adds r0, #1
    adds r1, #1
    b 1b
    .thumb_func
    .global memcpy44
memcpy44:
    mov r12, r0
memcpy_words:
    subs r2, #16
    bcc 3f
    push {r4, r5, r6}
2:  ldmia r1!, {r3, r4, r5, r6}
    stmia r0!, {r3, r4, r5, r6}
    subs r2, #16
    bcs 2b
    pop {r4, r5, r6}
3:  adds r2, #16
4:  subs r2, #4
    bcc 5f
    ldmia r1!, {r3}
    stmia r0!, {r3}
    b 4b
5:  adds r2, #4
    beq 9b
    b 8f
7:  ldrb r3, [r1, r2] /* not aligned to each other: bytes, from the end */
    strb r3, [r0, r2]
8:  subs r2, #1
    bcs 7b
    mov r0, r12
    bx lr

/* A debugger's call that ends at a breakpoint: r7 = function. */
    .thumb_func
    .global debug_trampoline
debug_trampoline:
    movs r6, #1
    orrs r7, r6
    blx r7
    .thumb_func
    .global debug_trampoline_end
debug_trampoline_end:
    bkpt #0
    b debug_trampoline

/* Core 1 waits here for 0 ... 1, vector table, stack pointer, entry point from core 0 and answers each with itself;
 * a 0 begins anew. r5 counts the words taken since the 1. */
    .thumb_func
    .global wait_for_vector
wait_for_vector:
    ldr r4, =SIO
begin:
    movs r5, #0
    movs r0, #0
answer:
    ldr r1, [r4, #FIFO_ST]
    lsrs r1, #2
    bcc answer
    str r0, [r4, #FIFO_WR]
    sev
    cmp r5, #4
    beq launch
receive:
    ldr r1, [r4, #FIFO_ST]
    lsrs r1, #1
    bcs take
    wfe
    b receive
take:
    ldr r0, [r4, #FIFO_RD]
    cmp r0, #0
    beq begin
    cmp r5, #0
    bne parameter
    cmp r0, #1
    bne begin
    movs r5, #1
    b answer
parameter: /* vector table, stack pointer and entry point end in r6, r7 and r3 */
    movs r6, r7
    movs r7, r3
    movs r3, r0
    adds r5, #1
    b answer
launch:
    ldr r1, =VTOR
    str r6, [r1]
    msr msp, r7
    blx r3
    b dead
    .balign 4
    .ltorg
