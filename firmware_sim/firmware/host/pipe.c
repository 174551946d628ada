/* The service as a program: what a line would carry comes from standard input, replies go to standard output. Built
 * with the sanitizers, for streams that mean harm. */
#include <stdio.h>

#include "host_port.h"

int main(void)
{
    static uint8_t bytes[4096];
    size_t count;
    host_reset();
    while ((count = fread(bytes, 1, 64, stdin)) != 0) {
        host_receive(bytes, (uint32_t)count, 1);
        while ((count = host_take(bytes, sizeof bytes)) != 0)
            fwrite(bytes, 1, count, stdout);
    }
    return 0;
}
