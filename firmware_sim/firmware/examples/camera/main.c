/* Captures frames of an OV2640 by PIO and DMA, makes them 48x48 line by line, and prints their checksums. */
#include "capture.h"
#include "console.h"
#include "sensor.h"

#define FRAMES 2u

static uint8_t image[IMAGE_SIDE * IMAGE_SIDE * 3];

/* Adler-32 (RFC 1950), as zlib.adler32 in Python. */
static uint32_t checksum(const uint8_t *bytes, uint32_t count)
{
    uint32_t a = 1, b = 0;
    while (count--) {
        a += *bytes++;
        if (a >= 65521u)
            a -= 65521u;
        b += a;
        if (b >= 65521u)
            b -= 65521u;
    }
    return b << 16 | a;
}

int main(void)
{
    console_start();
    if (!sensor_start()) {
        console_text("no OV2640 at 0x30\n");
        console_flush();
        return 0;
    }
    console_text("OV2640 found\n");
    capture_start();
    for (unsigned i = 0; i < FRAMES; i++) {
        if (!capture_frame(image)) {
            console_text("no frame\n");
            break;
        }
        console_text("frame ");
        console_hex(checksum(image, sizeof image));
        console_text("\n");
    }
    console_flush();
    return (int)image; /* at the BKPT in r0: where the last image is */
}
