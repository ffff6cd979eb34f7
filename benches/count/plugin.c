/* Counts the instructions that a program executes under QEMU. Written to the file of the argument `out=FILE` when it ends.
 *
 * Debian's QEMU has no header for plugins; what is needed of its interface (docs/devel/tcg-plugins of QEMU) is declared here.
 * A translated block calls back with its length each time it runs: an interface that every version since 4.2 has.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct block;
enum registers { USES_NO_REGISTERS };

size_t qemu_plugin_tb_n_insns(const struct block *block);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t plugin, void (*translated)(uint64_t, struct block *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct block *block, void (*executed)(unsigned, void *), enum registers registers,
                                          void *data);
void qemu_plugin_register_atexit_cb(uint64_t plugin, void (*ended)(uint64_t, void *), void *data);

#define EXPORT __attribute__((visibility("default")))

/* Which version of the interface: QEMU refuses those it does not know. */
EXPORT int qemu_plugin_version = INTERFACE;

static uint64_t instructions;
static const char *out;

static void executed(unsigned cpu, void *length)
{
    (void)cpu;
    instructions += (uintptr_t)length;
}

static void translated(uint64_t plugin, struct block *block)
{
    (void)plugin;
    void *length = (void *)(uintptr_t)qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_cb(block, executed, USES_NO_REGISTERS, length);
}

static void ended(uint64_t plugin, void *data)
{
    (void)plugin;
    (void)data;
    FILE *file = fopen(out, "w");
    if (!file || fprintf(file, "%" PRIu64 "\n", instructions) < 0 || fclose(file))
        perror(out);
}

EXPORT int qemu_plugin_install(uint64_t plugin, const void *about_qemu, int count, char **arguments)
{
    (void)about_qemu;
    static char path[4096];
    for (int i = 0; i < count; i++)
        if (!strncmp(arguments[i], "out=", 4) && strlen(arguments[i]) < sizeof path)
            out = strcpy(path, arguments[i] + 4);
    if (!out) {
        fputs("the plugin that counts instructions needs out=FILE\n", stderr);
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(plugin, translated);
    qemu_plugin_register_atexit_cb(plugin, ended, NULL);
    return 0;
}
