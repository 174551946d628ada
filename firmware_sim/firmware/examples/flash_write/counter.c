/* Each value is a record of one page: magic, value, CRC-32. Records are appended to a sector; when it is full the other
 * sector is erased and goes on, so the newest record is never in the sector that is being erased. A page that is neither
 * blank nor a record was torn by a power cut: it is skipped. */
#include "counter.h"

#include <stdbool.h>

#include "flash.h"

#define SECTORS 0x1fe000u /* the last two of 2 MB */
#define PAGES (FLASH_SECTOR / FLASH_PAGE)
#define MAGIC 0x52544e43u

struct record {
    uint32_t magic, value, crc;
};

static uint32_t next; /* page to write, 0 to 2 * PAGES - 1 */

static const uint32_t *page_words(uint32_t page)
{
    return (const uint32_t *)(FLASH_XIP + SECTORS + page * FLASH_PAGE);
}

static uint32_t crc32(const uint32_t *words, uint32_t count)
{
    uint32_t crc = 0xffffffffu;
    for (uint32_t i = 0; i < count * 32; i++) {
        uint32_t bit = words[i / 32] >> (i % 32) & 1u;
        crc = crc >> 1 ^ ((crc ^ bit) & 1u ? 0xedb88320u : 0);
    }
    return ~crc;
}

static bool is_blank(uint32_t page)
{
    for (uint32_t i = 0; i < FLASH_PAGE / 4; i++)
        if (page_words(page)[i] != 0xffffffffu)
            return false;
    return true;
}

static bool is_record(uint32_t page)
{
    const struct record *record = (const struct record *)page_words(page);
    return record->magic == MAGIC && record->crc == crc32(page_words(page), 2);
}

uint32_t counter_load(void)
{
    uint32_t newest = 0, found = 2 * PAGES;
    for (uint32_t page = 0; page < 2 * PAGES; page++) {
        if (!is_record(page) || page_words(page)[1] < newest)
            continue;
        newest = page_words(page)[1];
        found = page;
    }
    next = found == 2 * PAGES ? 0 : found + 1;
    return newest;
}

void counter_store(uint32_t value)
{
    static union {
        struct record record;
        uint8_t bytes[FLASH_PAGE];
    } page;

    while (next % PAGES != 0 && !is_blank(next))
        next++; /* torn */
    if (next % PAGES == 0) {
        next %= 2 * PAGES;
        flash_erase_sector(SECTORS + next * FLASH_PAGE);
    }
    for (uint32_t i = 0; i < FLASH_PAGE; i++)
        page.bytes[i] = 0xff;
    page.record.magic = MAGIC;
    page.record.value = value;
    page.record.crc = crc32(&page.record.magic, 2);
    flash_program_page(SECTORS + next * FLASH_PAGE, page.bytes);
    next++;
}
