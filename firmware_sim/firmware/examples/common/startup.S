/* Vector table and start-up of the example firmware: .data from flash, .bss to zero, main, then BKPT 0 with main's
 * result in r0. Handlers are weak: a function of the same name takes the vector (RP2040 datasheet 2.3.2). */
    .syntax unified
    .cpu cortex-m0plus
    .thumb

    .macro handler name
    .weak \name
    .set \name, unexpected
    .word \name
    .endm

    .section .vectors, "a"
    .global vectors
vectors:
    .word stack_top
    .word reset
    handler nmi
    handler hardfault
    .rept 7
    .word unexpected
    .endr
    handler svcall
    .word unexpected
    .word unexpected
    handler pendsv
    handler systick
    .irp name, timer_irq_0, timer_irq_1, timer_irq_2, timer_irq_3, pwm_irq_wrap, usbctrl_irq, xip_irq, pio0_irq_0, pio0_irq_1
    handler \name
    .endr
    .irp name, pio1_irq_0, pio1_irq_1, dma_irq_0, dma_irq_1, io_irq_bank0, io_irq_qspi, sio_irq_proc0, sio_irq_proc1, clocks_irq
    handler \name
    .endr
    .irp name, spi0_irq, spi1_irq, uart0_irq, uart1_irq, adc_irq_fifo, i2c0_irq, i2c1_irq, rtc_irq
    handler \name
    .endr
    .rept 6
    .word unexpected
    .endr

    .section .text.reset, "ax"
    .global reset
    .type reset, %function
    .thumb_func
reset:
    ldr r0, =vectors
    ldr r1, =0xe000ed08 /* VTOR: a debugger or a loader may have left another one */
    str r0, [r1]
    ldr r0, =data_load
    ldr r1, =data_start
    ldr r2, =data_end
    b 2f
1:  ldmia r0!, {r3}
    stmia r1!, {r3}
2:  cmp r1, r2
    blo 1b
    movs r0, #0
    ldr r1, =bss_start
    ldr r2, =bss_end
    b 4f
3:  stmia r1!, {r0}
4:  cmp r1, r2
    blo 3b
    bl main
    bkpt 0
    b .
    .size reset, . - reset

    .global unexpected
    .type unexpected, %function
    .thumb_func
unexpected: /* an interrupt or a fault without a handler */
    b .
    .size unexpected, . - unexpected
    .ltorg
