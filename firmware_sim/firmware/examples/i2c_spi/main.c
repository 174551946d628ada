/* Asks an I2C sensor at 0x30 for its two identity registers and an SPI flash for its JEDEC number, over UART0. */
#include <stdbool.h>

#include "clocks.h"
#include "console.h"
#include "i2c_spi.h"

#define SENSOR 0x30u
#define PID_REGISTER 0x0au
#define READ_JEDEC 0x9fu
#define SDA 16u
#define SCL 17u
#define SCK 2u
#define TX 3u
#define RX 4u
#define CS 5u

static void i2c_start(void)
{
    clocks_reset(RESETS_I2C0);
    /* 400 kHz: 312 cycles a bit, 125 of them high; the block adds 7 + SPKLEN and 1 (4.3.14.1) */
    REGISTER(I2C0_FS_SCL_HCNT) = 125u - 7u - 7u;
    REGISTER(I2C0_FS_SCL_LCNT) = 187u - 1u;
    REGISTER(I2C0_TAR) = SENSOR;
    REGISTER(I2C0_ENABLE) = 1;
    REGISTER(IO_BANK0_GPIO_CTRL(SDA)) = GPIO_FUNCTION_I2C;
    REGISTER(IO_BANK0_GPIO_CTRL(SCL)) = GPIO_FUNCTION_I2C;
}

/* `count` registers from `first` on; false when nobody acknowledged. */
static bool i2c_read(uint8_t first, uint8_t *to, uint32_t count)
{
    REGISTER(I2C0_DATA_CMD) = first;
    for (uint32_t i = 0; i < count; i++)
        REGISTER(I2C0_DATA_CMD) = I2C_CMD_READ | (i == 0 ? I2C_CMD_RESTART : 0) | (i + 1 == count ? I2C_CMD_STOP : 0);
    while (!(REGISTER(I2C0_RAW_INTR_STAT) & I2C_STOP_DET))
        ;
    (void)REGISTER(I2C0_CLR_STOP_DET);
    if (REGISTER(I2C0_TX_ABRT_SOURCE)) {
        (void)REGISTER(I2C0_CLR_TX_ABRT);
        return false;
    }
    for (uint32_t i = 0; i < count; i++)
        to[i] = (uint8_t)REGISTER(I2C0_DATA_CMD);
    return true;
}

static void spi_start(void)
{
    clocks_reset(RESETS_SPI0);
    REGISTER(SPI0_CPSR) = 2;
    REGISTER(SPI0_CR0) = SPI_CR0_8_BITS | SPI_CR0_RATE(61); /* 125 MHz / 2 / 62: about 1 MHz */
    REGISTER(SPI0_CR1) = SPI_CR1_ENABLE;
    REGISTER(SIO_GPIO_OUT_SET) = 1u << CS;
    REGISTER(SIO_GPIO_OE_SET) = 1u << CS;
    REGISTER(IO_BANK0_GPIO_CTRL(CS)) = GPIO_FUNCTION_SIO;
    for (uint32_t pin = SCK; pin <= RX; pin++)
        REGISTER(IO_BANK0_GPIO_CTRL(pin)) = GPIO_FUNCTION_SPI;
}

static uint8_t spi_exchange(uint8_t byte)
{
    REGISTER(SPI0_DR) = byte;
    while (!(REGISTER(SPI0_SR) & SPI_SR_RX_NOT_EMPTY))
        ;
    return (uint8_t)REGISTER(SPI0_DR);
}

static void print_bytes(const char *name, const uint8_t *bytes, uint32_t count)
{
    console_text(name);
    for (uint32_t i = 0; i < count; i++) {
        console_byte(' ');
        console_byte((uint8_t)"0123456789abcdef"[bytes[i] >> 4]);
        console_byte((uint8_t)"0123456789abcdef"[bytes[i] & 15u]);
    }
    console_byte('\n');
}

int main(void)
{
    console_start();
    i2c_start();
    spi_start();
    uint8_t bytes[3];
    bool there = i2c_read(PID_REGISTER, bytes, 2);
    if (there)
        print_bytes("i2c", bytes, 2);
    else
        console_text("i2c nobody\n");
    REGISTER(SIO_GPIO_OUT_CLR) = 1u << CS;
    spi_exchange(READ_JEDEC);
    for (uint32_t i = 0; i < 3; i++)
        bytes[i] = spi_exchange(0);
    REGISTER(SIO_GPIO_OUT_SET) = 1u << CS;
    print_bytes("spi", bytes, 3);
    console_flush();
    return there ? 0 : 1;
}
