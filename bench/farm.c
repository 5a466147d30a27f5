/* A Modbus/TCP device for measuring: one epoll loop answers every read at once with the same float.
 * usage: farm          prints the port it listens on, then serves 127.0.0.1 until it is ended
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD = 9, REQUEST = 12, EVENTS = 256 };

static int listen_anywhere(void)
{
    int one = 1, wire = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof here;

    setsockopt(wire, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(wire, (struct sockaddr *)&here, size) || listen(wire, 4096)) {
        perror("farm");
        exit(1);
    }
    getsockname(wire, (struct sockaddr *)&here, &size);
    printf("%d\n", ntohs(here.sin_port));
    fflush(stdout);
    return wire;
}

/* Requests of one segment; a client that splits them is none of ours. */
static void serve(int wire)
{
    static const uint8_t value[4] = {0x42, 0x48, 0, 0}; /* 50.0 */
    uint8_t in[4096], out[HEAD + 250];
    ssize_t size = recv(wire, in, sizeof in, 0);

    if (size <= 0) {
        close(wire);
        return;
    }
    for (ssize_t at = 0; at + REQUEST <= size; at += REQUEST) {
        const uint8_t *ask = in + at;
        int bytes = 2 * ((ask[10] << 8) | ask[11]);

        memcpy(out, ask, 8);
        out[4] = (uint8_t)((bytes + 3) >> 8);
        out[5] = (uint8_t)(bytes + 3);
        out[8] = (uint8_t)bytes;
        for (int i = 0; i < bytes; i += 4)
            memcpy(out + HEAD + i, value, 4);
        send(wire, out, (size_t)(HEAD + bytes), MSG_NOSIGNAL);
    }
}

int main(void)
{
    int one = 1, door = listen_anywhere(), poll = epoll_create1(0);
    struct epoll_event want = {.events = EPOLLIN, .data.fd = door}, ready[EVENTS];

    epoll_ctl(poll, EPOLL_CTL_ADD, door, &want);
    for (;;) {
        int count = epoll_wait(poll, ready, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (ready[i].data.fd != door) {
                serve(ready[i].data.fd);
                continue;
            }
            want.data.fd = accept(door, NULL, NULL);
            setsockopt(want.data.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            epoll_ctl(poll, EPOLL_CTL_ADD, want.data.fd, &want);
        }
    }
}
