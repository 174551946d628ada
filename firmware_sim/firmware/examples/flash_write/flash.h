/* Erase and program through the boot ROM (RP2040 datasheet 2.8.3.1.3). */
#ifndef EXAMPLES_FLASH_H
#define EXAMPLES_FLASH_H

#include <stdint.h>

#define FLASH_PAGE 256u
#define FLASH_SECTOR 4096u
#define FLASH_XIP 0x10000000u

/* Look the ROM's functions up; before anything else. */
void flash_start(void);

/* Offsets count from the start of the flash; interrupts are off meanwhile, up to 45 ms. */
void flash_erase_sector(uint32_t offset);
void flash_program_page(uint32_t offset, const uint8_t data[FLASH_PAGE]);

#endif
