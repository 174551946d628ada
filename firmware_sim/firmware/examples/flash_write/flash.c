/* While the flash is erased or programmed nothing can be read from it: the code that waits, and what interrupts it, must
 * be in SRAM (.ram_text), and so must the data to program. */
#include "flash.h"

typedef void *(*rom_lookup)(const uint16_t *table, uint32_t code);
typedef void (*rom_action)(void);
typedef void (*rom_erase)(uint32_t offset, uint32_t count, uint32_t block_size, uint32_t block_command);
typedef void (*rom_program)(uint32_t offset, const uint8_t *data, uint32_t count);

#define BLOCK_SIZE 65536u
#define BLOCK_ERASE 0xd8u

static struct {
    rom_action connect_internal_flash;
    rom_action exit_xip;
    rom_erase range_erase;
    rom_program range_program;
    rom_action flush_cache;
    rom_action enter_cmd_xip;
} rom;

/* The halfword at an address of the boot ROM; the compiler must not think about what lies below 4096. */
static uint32_t rom_half(uint32_t address)
{
    const volatile uint16_t *half = (const volatile uint16_t *)address;
    __asm__("" : "+r"(half));
    return *half;
}

static void *look_up(char first, char second)
{
    rom_lookup lookup = (rom_lookup)rom_half(0x18);
    return lookup((const uint16_t *)rom_half(0x14), (uint32_t)first | (uint32_t)second << 8);
}

void flash_start(void)
{
    rom.connect_internal_flash = (rom_action)look_up('I', 'F');
    rom.exit_xip = (rom_action)look_up('E', 'X');
    rom.range_erase = (rom_erase)look_up('R', 'E');
    rom.range_program = (rom_program)look_up('R', 'P');
    rom.flush_cache = (rom_action)look_up('F', 'C');
    rom.enter_cmd_xip = (rom_action)look_up('C', 'X');
}

/* Program a page, or without data erase a sector. */
__attribute__((section(".ram_text"), noinline)) static void change(uint32_t offset, const uint8_t *data)
{
    uint32_t primask;
    __asm__ volatile("mrs %0, primask\n\tcpsid i" : "=r"(primask) : : "memory");
    rom.connect_internal_flash();
    rom.exit_xip();
    if (data)
        rom.range_program(offset, data, FLASH_PAGE);
    else
        rom.range_erase(offset, FLASH_SECTOR, BLOCK_SIZE, BLOCK_ERASE);
    rom.flush_cache();
    rom.enter_cmd_xip();
    __asm__ volatile("msr primask, %0" : : "r"(primask) : "memory");
}

void flash_erase_sector(uint32_t offset)
{
    change(offset, 0);
}

void flash_program_page(uint32_t offset, const uint8_t data[FLASH_PAGE])
{
    change(offset, data);
}
