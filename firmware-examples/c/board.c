/* Start-up of a Cortex-M4F, and semihosting: docs/c.md says what changes on a real board. */
#include "board.h"

#include <stddef.h>

/* Of mps2-an386.ld. */
extern uint32_t data_load[], data_start[], data_end[], bss_start[], bss_end[], stack_top[];

int main(void);
void abort(void);
void reset(void);

/* Asks the debugger, or QEMU, for a service. */
static uintptr_t semihosting(uintptr_t service, const void *argument)
{
    register uintptr_t r0 __asm__("r0") = service;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void print(const char *text)
{
    semihosting(0x04 /* SYS_WRITE0 */, text);
}

void print_decimal(uint32_t number)
{
    char text[11];
    char *start = text + sizeof text - 1;

    *start = 0;
    do
        *--start = (char)('0' + number % 10);
    while (number /= 10);
    print(start);
}

void print_hexadecimal(uint32_t number)
{
    char text[9];
    int i;

    for (i = 0; i < 8; i++)
        text[i] = "0123456789abcdef"[number >> (28 - 4 * i) & 15];
    text[8] = 0;
    print(text);
}

const char *command_line(void)
{
    static char text[80];
    const void *block[2];
    const char *word = text;

    block[0] = text;
    block[1] = (const void *)sizeof text;
    if (semihosting(0x15 /* SYS_GET_CMDLINE */, block) != 0)
        return "";
    while (*word && *word != ' ')
        word++;
    while (*word == ' ')
        word++;
    return word;
}

void stop(uint32_t code)
{
    uint32_t block[2];

    block[0] = 0x20026; /* ADP_Stopped_ApplicationExit */
    block[1] = code;
    for (;;)
        semihosting(0x20 /* SYS_EXIT_EXTENDED */, block);
}

/* What the library calls where it must not go on: it has no reason to. */
void abort(void)
{
    print("abort\n");
    stop(134);
}

static void fault(void)
{
    print("fault\n");
    stop(135);
}

void reset(void)
{
    uint32_t *to;
    const uint32_t *from = data_load;

    for (to = data_start; to < data_end; to++)
        *to = *from++;
    for (to = bss_start; to < bss_end; to++)
        *to = 0;
#ifdef __ARM_FP
    /* The floating-point unit is off after a reset: CPACR. */
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
    stop((uint32_t)main());
}

/* Stack, reset, NMI, HardFault; the faults after it stay off and escalate to it. */
typedef void (*vector)(void);
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    vector handlers[3];
} vectors = {stack_top, {reset, fault, fault}};
