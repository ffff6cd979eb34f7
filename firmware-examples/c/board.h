/* What the firmware asks of its board: here mps2-an386 in QEMU, through semihosting. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

/* Writes to QEMU's standard error. */
void print(const char *text);
void print_decimal(uint32_t number);
void print_hexadecimal(uint32_t number);
/* The word after the program's name on its command line; empty where there is none. */
const char *command_line(void);
/* Ends the program with a code that QEMU ends with. */
void stop(uint32_t code);

#endif
