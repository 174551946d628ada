/* A serial console over USB (CDC-ACM) that greets and echoes lines; `quit` ends it. */
#include "cdc.h"
#include "clocks.h"

#define LINE 80u

static const char greeting[] = "usb console ready\r\n";
static const char prefix[] = "you said: ";

int main(void)
{
    clocks_start();
    cdc_start();
    while (!cdc_open())
        cdc_wait();
    cdc_write((const uint8_t *)greeting, sizeof greeting - 1);
    uint8_t line[LINE + 2];
    uint32_t size = 0, lines = 0;
    for (;;) {
        uint8_t byte;
        if (!cdc_read(&byte, 1)) {
            cdc_wait();
            continue;
        }
        if (byte != '\n' && size < LINE) {
            line[size++] = byte;
            continue;
        }
        lines++;
        if (size >= 4 && line[0] == 'q' && line[1] == 'u' && line[2] == 'i' && line[3] == 't') {
            cdc_flush();
            return (int)lines;
        }
        line[size++] = '\r';
        line[size++] = '\n';
        cdc_write((const uint8_t *)prefix, sizeof prefix - 1);
        cdc_write(line, size);
        size = 0;
    }
}
