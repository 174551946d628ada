/* What this example uses of I2C0 (RP2040 datasheet 4.3), SPI0 (4.4) and SIO (2.3.1). */
#ifndef I2C_SPI_H
#define I2C_SPI_H

#include "registers.h"

#define RESETS_I2C0 (1u << 3)
#define RESETS_SPI0 (1u << 16)
#define GPIO_FUNCTION_SPI 1u
#define GPIO_FUNCTION_I2C 3u
#define GPIO_FUNCTION_SIO 5u
#define SIO_GPIO_OUT_SET 0xd0000014u
#define SIO_GPIO_OUT_CLR 0xd0000018u
#define SIO_GPIO_OE_SET 0xd0000024u

#define I2C0_TAR 0x40044004u
#define I2C0_DATA_CMD 0x40044010u
#define I2C_CMD_READ (1u << 8)
#define I2C_CMD_STOP (1u << 9)
#define I2C_CMD_RESTART (1u << 10)
#define I2C0_FS_SCL_HCNT 0x4004401cu
#define I2C0_FS_SCL_LCNT 0x40044020u
#define I2C0_RAW_INTR_STAT 0x40044034u
#define I2C_STOP_DET (1u << 9)
#define I2C0_CLR_TX_ABRT 0x40044054u
#define I2C0_CLR_STOP_DET 0x40044060u
#define I2C0_ENABLE 0x4004406cu
#define I2C0_TX_ABRT_SOURCE 0x40044080u

#define SPI0_CR0 0x4003c000u
#define SPI_CR0_8_BITS 7u
#define SPI_CR0_RATE(n) ((uint32_t)(n) << 8)
#define SPI0_CR1 0x4003c004u
#define SPI_CR1_ENABLE (1u << 1)
#define SPI0_DR 0x4003c008u
#define SPI0_SR 0x4003c00cu
#define SPI_SR_RX_NOT_EMPTY (1u << 2)
#define SPI0_CPSR 0x4003c010u

#endif
