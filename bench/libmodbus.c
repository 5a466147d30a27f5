/* What a blocking libmodbus client costs: its connections are read one after the other, as its interface has it.
 * usage: libmodbus PORT CONNECTIONS REGISTERS SECONDS     prints transactions a second and CPU microseconds for each
 */
#include <modbus/modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PARTS = 8 };

static double cpu_s(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void need(int fine, const char *what)
{
    if (!fine) {
        perror(what);
        exit(1);
    }
}

struct figures { double cpu_s, took_s; long done; };

/* Reads so many connections in turn for so long. All parts are connected before the first one begins. */
static void part(int port, int connections, int registers, double seconds, int turn[2], int next[2], struct figures *out)
{
    modbus_t **device = calloc((size_t)connections, sizeof *device);
    uint16_t found[125];
    char token;

    for (int i = 0; i < connections; i++) {
        device[i] = modbus_new_tcp("127.0.0.1", port);
        need(device[i] != NULL && modbus_connect(device[i]) == 0, "connect");
    }
    need(read(turn[0], &token, 1) == 1, "turn");
    double cpu = cpu_s(), begun = now_s(), end = begun;
    while (end - begun < seconds) {
        for (int i = 0; i < 100; i++, out->done++)
            need(modbus_read_registers(device[out->done % connections], 0, registers, found) == registers, "read");
        end = now_s();
    }
    out->cpu_s = cpu_s() - cpu;
    out->took_s = end - begun;
    need(write(next[1], &token, 1) == 1, "next");
}

int main(int count, char **words)
{
    need(count == 5, "libmodbus PORT CONNECTIONS REGISTERS SECONDS");
    int port = atoi(words[1]), connections = atoi(words[2]), registers = atoi(words[3]);
    /* libmodbus waits with select, which knows no descriptor above 1023. */
    int parts = (connections + 999) / 1000, turns[PARTS + 1][2], status;
    struct figures *out = mmap(NULL, sizeof *out * PARTS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct figures all = {0};

    need(out != MAP_FAILED && parts <= PARTS, "parts");
    for (int i = 0; i <= parts; i++)
        need(pipe(turns[i]) == 0, "pipe");
    for (int i = 0; i < parts; i++)
        if (fork() == 0) {
            part(port, connections / parts, registers, atof(words[4]) / parts, turns[i], turns[i + 1], &out[i]);
            return 0;
        }
    need(write(turns[0][1], "", 1) == 1, "start");
    for (int i = 0; i < parts; i++) {
        wait(&status);
        need(status == 0, "part");
    }
    for (int i = 0; i < parts; i++) {
        all.cpu_s += out[i].cpu_s;
        all.took_s += out[i].took_s;
        all.done += out[i].done;
    }
    printf("%.1f %.3f\n", (double)all.done / all.took_s, all.cpu_s / (double)all.done * 1e6);
    return 0;
}
