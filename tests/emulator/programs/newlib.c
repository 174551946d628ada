/* Code as compilers and newlib make it: printf with floats, 64-bit and soft-float arithmetic, qsort, setjmp. */
#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))

extern char end;
extern uint32_t load_start, data_start, data_end, bss_start, bss_end;
static char *heap = &end;
static jmp_buf place;

int _write(int file, const char *text, int count)
{
    (void)file;
    for (int i = 0; i < count; i++) {
        while (REGISTER(0x40034018) & 0x20) {
        }
        REGISTER(0x40034000) = (uint8_t)text[i];
    }
    return count;
}

void *_sbrk(int count)
{
    heap += count;
    return heap - count;
}

int _read(int file, char *text, int count) { (void)file, (void)text, (void)count; return 0; }
int _close(int file) { (void)file; return -1; }
int _fstat(int file, void *status) { (void)file, (void)status; return -1; }
int _isatty(int file) { (void)file; return 1; }
int _lseek(int file, int offset, int from) { (void)file, (void)offset, (void)from; return 0; }
int _kill(int process, int number) { (void)process, (void)number; return -1; }
int _getpid(void) { return 1; }
void _exit(int code) { (void)code; for (;;) __asm volatile("bkpt #0"); }

static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

int main(void)
{
    static int numbers[100];
    uint32_t sum = 0;
    double root = 0;
    uint64_t wide = 0x123456789abcdefULL;

    REGISTER(0x40008048) = 0x800;
    REGISTER(0x40034024) = 3;
    REGISTER(0x40034028) = 34;
    REGISTER(0x4003402c) = 0x70;
    REGISTER(0x40034030) = 0x301;
    printf("%d %s %.5f\n", 42, "pizzas", 3.14159);
    for (int i = 1; i < 200; i++) {
        sum += 1000000U / (uint32_t)i;
        sum ^= sum << 3;
        sum += (uint32_t)(-7777 / i);
    }
    for (int i = 1; i < 50; i++)
        root += sqrt(i) / i;
    printf("%lu %.9f\n", (unsigned long)sum, root);
    for (int i = 0; i < 100; i++)
        numbers[i] = i * 7919 % 101;
    qsort(numbers, 100, sizeof numbers[0], compare);
    for (int i = 0; i < 20; i++)
        wide = wide * 6364136223846793005ULL + 1442695040888963407ULL;
    printf("%d %d %08lx\n", numbers[0], numbers[99], (unsigned long)(wide / 1234567U));
    if (setjmp(place) == 0)
        longjmp(place, 5);
    char *copy = malloc(64);
    strcpy(copy, "heap and strings");
    puts(strstr(copy, "and"));
    register uint32_t result __asm("r0") = sum;
    __asm volatile("bkpt #0" ::"r"(result));
    return 0;
}

void reset(void)
{
    memcpy(&data_start, &load_start, (size_t)((char *)&data_end - (char *)&data_start));
    memset(&bss_start, 0, (size_t)((char *)&bss_end - (char *)&bss_start));
    main();
}

void hardfault(void) { __asm volatile("bkpt #99"); }

__attribute__((section(".vectors"), used)) const void *vectors[] = {(void *)0x20040000, reset, hardfault, hardfault};
