#include "sensor.h"

#include <stddef.h>
#include <stdint.h>

#include "registers.h"

#define RESETS_I2C0 (1u << 3)
#define RESETS_PWM (1u << 14)
#define PADS_BANK0_GPIO(n) (0x4001c004u + 4u * (n))
#define PADS_PULL_UP (1u << 3)
#define PADS_SCHMITT (1u << 1)
#define PADS_INPUT_ENABLE (1u << 6)
#define GPIO_FUNCTION_I2C 3u
#define GPIO_FUNCTION_PWM 4u
#define GPIO_FUNCTION_SIO 5u
#define SIO_GPIO_OUT_SET 0xd0000014u
#define SIO_GPIO_OUT_CLR 0xd0000018u
#define SIO_GPIO_OE_SET 0xd0000024u

enum { XCLK = 13, RST = 14, PWDN = 15, SDA = 16, SCL = 17 };

/* PWM slice 6 drives GPIO 13 with its channel B (datasheet 4.5.2). */
#define PWM_CH6_CSR 0x40050078u
#define PWM_CH6_DIV 0x4005007cu
#define PWM_CH6_CC 0x40050084u
#define PWM_CH6_TOP 0x40050088u
#define XCLK_PERIOD 5u /* of clk_sys: 25 MHz */

#define I2C0_CON 0x40044000u
#define I2C_CON_MASTER (1u << 0)
#define I2C_CON_STANDARD (1u << 1)
#define I2C_CON_RESTART (1u << 5)
#define I2C_CON_NO_SLAVE (1u << 6)
#define I2C0_TAR 0x40044004u
#define I2C0_DATA_CMD 0x40044010u
#define I2C_READ (1u << 8)
#define I2C_STOP (1u << 9)
#define I2C0_SS_SCL_HCNT 0x40044014u
#define I2C0_SS_SCL_LCNT 0x40044018u
#define I2C0_RAW_INTR_STAT 0x40044034u
#define I2C_TX_ABRT (1u << 6)
#define I2C_STOP_DET (1u << 9)
#define I2C0_CLR_TX_ABRT 0x40044054u
#define I2C0_CLR_STOP_DET 0x40044060u
#define I2C0_ENABLE 0x4004406cu
#define I2C0_RXFLR 0x40044078u

#define SENSOR_ADDRESS 0x30u

struct setting {
    uint8_t reg, value;
};

/* Only what QVGA RGB565 at about 7 frames a second needs; names in the OV2640 datasheet. */
static const struct setting QVGA_RGB565[] = {
    {0xff, 0x01}, {0x12, 0x80},               /* COM7.SRST */
    {0x11, 0x01},                             /* CLKRC: XCLK / 2 */
    {0xff, 0x00}, {0x05, 0x00},               /* R_BYPASS: use the DSP */
    {0x5a, 0x50}, {0x5b, 0x3c}, {0x5c, 0x00}, /* ZMOW, ZMOH, ZMHH: 320 x 240 */
    {0xd3, 0x08},                             /* R_DVP_SP: PCLK / 8 */
    {0xda, 0x08},                             /* IMAGE_MODE: RGB565, high byte first */
};

static bool transfer_done(void)
{
    while (!(REGISTER(I2C0_RAW_INTR_STAT) & (I2C_STOP_DET | I2C_TX_ABRT)))
        ;
    bool aborted = REGISTER(I2C0_RAW_INTR_STAT) & I2C_TX_ABRT;
    (void)REGISTER(I2C0_CLR_TX_ABRT);
    (void)REGISTER(I2C0_CLR_STOP_DET);
    return !aborted;
}

static bool sensor_write(uint8_t reg, uint8_t value)
{
    REGISTER(I2C0_DATA_CMD) = reg;
    REGISTER(I2C0_DATA_CMD) = value | I2C_STOP;
    return transfer_done();
}

static int sensor_read(uint8_t reg)
{
    REGISTER(I2C0_DATA_CMD) = reg | I2C_STOP; /* SCCB has no repeated START */
    if (!transfer_done())
        return -1;
    REGISTER(I2C0_DATA_CMD) = I2C_READ | I2C_STOP;
    if (!transfer_done() || REGISTER(I2C0_RXFLR) == 0)
        return -1;
    return (int)(REGISTER(I2C0_DATA_CMD) & 0xffu);
}

static void pins_start(void)
{
    CLEAR_ALIAS(RESETS_RESET) = RESETS_I2C0 | RESETS_PWM;
    while (~REGISTER(RESETS_RESET_DONE) & (RESETS_I2C0 | RESETS_PWM))
        ;
    REGISTER(SIO_GPIO_OUT_CLR) = 1u << PWDN;
    REGISTER(SIO_GPIO_OUT_SET) = 1u << RST;
    REGISTER(SIO_GPIO_OE_SET) = 1u << PWDN | 1u << RST;
    REGISTER(IO_BANK0_GPIO_CTRL(PWDN)) = GPIO_FUNCTION_SIO;
    REGISTER(IO_BANK0_GPIO_CTRL(RST)) = GPIO_FUNCTION_SIO;
    REGISTER(PWM_CH6_DIV) = 1u << 4;
    REGISTER(PWM_CH6_TOP) = XCLK_PERIOD - 1;
    REGISTER(PWM_CH6_CC) = (XCLK_PERIOD / 2) << 16;
    REGISTER(PWM_CH6_CSR) = 1;
    REGISTER(IO_BANK0_GPIO_CTRL(XCLK)) = GPIO_FUNCTION_PWM;
    for (unsigned pin = SDA; pin <= SCL; pin++) {
        REGISTER(PADS_BANK0_GPIO(pin)) = PADS_INPUT_ENABLE | PADS_PULL_UP | PADS_SCHMITT;
        REGISTER(IO_BANK0_GPIO_CTRL(pin)) = GPIO_FUNCTION_I2C;
    }
    REGISTER(I2C0_ENABLE) = 0;
    REGISTER(I2C0_CON) = I2C_CON_MASTER | I2C_CON_STANDARD | I2C_CON_RESTART | I2C_CON_NO_SLAVE;
    REGISTER(I2C0_TAR) = SENSOR_ADDRESS;
    REGISTER(I2C0_SS_SCL_HCNT) = 550; /* 100 kHz at 125 MHz */
    REGISTER(I2C0_SS_SCL_LCNT) = 700;
    REGISTER(I2C0_ENABLE) = 1;
}

bool sensor_start(void)
{
    pins_start();
    if (!sensor_write(0xff, 0x01) || sensor_read(0x0a) != 0x26)
        return false;
    for (size_t i = 0; i < sizeof QVGA_RGB565 / sizeof *QVGA_RGB565; i++)
        if (!sensor_write(QVGA_RGB565[i].reg, QVGA_RGB565[i].value))
            return false;
    return true;
}
