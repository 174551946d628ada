#include "descriptors.h"

#define WORD(value) (uint8_t)((value)&255u), (uint8_t)((value) >> 8)

/* Vendor and product: Raspberry Pi's numbers for the serial port of their SDK, as hosts know them. */
static const uint8_t device[] = {18, 1, WORD(0x200u), 0xef, 2, 1, 64, WORD(0x2e8au), WORD(0x000au), WORD(0x100u), 1, 2, 3, 1};

static const uint8_t configuration[] = {
    9, 2, WORD(75u), 2, 1, 0, 0x80, 125,       /* two interfaces, 250 mA */
    8, 11, 0, 2, 2, 2, 0, 0,                   /* interface association: CDC */
    9, 4, 0, 0, 1, 2, 2, 0, 0,                 /* interface 0: CDC control, ACM */
    5, 0x24, 0, WORD(0x120u),                  /* CDC 1.20 */
    5, 0x24, 1, 0, 1,                          /* call management: none */
    4, 0x24, 2, 2,                             /* ACM: line coding and line state */
    5, 0x24, 6, 0, 1,                          /* union: interfaces 0 and 1 */
    7, 5, CDC_NOTIFY | 0x80, 3, WORD(8u), 16,  /* interrupt IN */
    9, 4, 1, 0, 2, 10, 0, 0, 0,                /* interface 1: CDC data */
    7, 5, CDC_OUT, 2, WORD(64u), 0,            /* bulk OUT */
    7, 5, CDC_IN | 0x80, 2, WORD(64u), 0,      /* bulk IN */
};
_Static_assert(sizeof configuration == 75, "wTotalLength");

static const uint8_t languages[] = {4, 3, WORD(0x0409u)};
static const char *const texts[] = {"crustwatch", "USB console", "0001"};

uint32_t descriptor_find(uint8_t type, uint8_t index, uint8_t *out)
{
    const uint8_t *from;
    uint32_t size;
    if (type == 1) {
        from = device;
        size = sizeof device;
    } else if (type == 2 && index == 0) {
        from = configuration;
        size = sizeof configuration;
    } else if (type == 3 && index == 0) {
        from = languages;
        size = sizeof languages;
    } else if (type == 3 && index <= sizeof texts / sizeof *texts) {
        const char *text = texts[index - 1];
        size = 2;
        for (; *text; text++) { /* UTF-16, least significant byte first */
            out[size++] = (uint8_t)*text;
            out[size++] = 0;
        }
        out[0] = (uint8_t)size;
        out[1] = 3;
        return size;
    } else {
        return 0;
    }
    for (uint32_t i = 0; i < size; i++)
        out[i] = from[i];
    return size;
}
