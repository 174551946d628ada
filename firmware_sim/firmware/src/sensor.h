/* The OV2640 on I2C0: clock, power, registers. */
#ifndef CRUSTWATCH_SENSOR_H
#define CRUSTWATCH_SENSOR_H

#include <stdbool.h>

#define SENSOR_WIDTH 320u
#define SENSOR_HEIGHT 240u

/* XCLK on, out of power-down, set to QVGA RGB565, high byte first. False when no OV2640 answers. */
bool sensor_start(void);

#endif
