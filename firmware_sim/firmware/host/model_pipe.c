/* A model as a program: inputs from standard input, outputs to standard output. Built with the sanitizers. */
#include <stdio.h>
#include <stdlib.h>

#include "host_model.h"
#include "nn.h"

int main(void)
{
    uint8_t *input = malloc(nn_model.input_bytes), *output = malloc(nn_model.output_bytes);
    if (input == NULL || output == NULL)
        return 1;
    while (fread(input, 1, nn_model.input_bytes, stdin) == nn_model.input_bytes) {
        host_run(input, output, 1);
        fwrite(output, 1, nn_model.output_bytes, stdout);
    }
    free(input);
    free(output);
    return 0;
}
