/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sends UDP packets to an address of loopback at a rate, and says how many it has sent.
 *
 * usage: flood ADDRESS PORT PACKETS-PER-SECOND SECONDS
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 250U

int main(int argc, char **argv) {
        struct sockaddr_in to = { .sin_family = AF_INET };
        struct mmsghdr messages[BATCH] = {};
        struct iovec data = { "x", 1 };
        unsigned long sent = 0, rate, seconds;
        struct timespec next;
        int fd;

        if (argc != 5 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
                fputs("usage: flood ADDRESS PORT PACKETS-PER-SECOND SECONDS\n", stderr);
                return EXIT_FAILURE;
        }
        to.sin_port = htons((uint16_t)atoi(argv[2]));
        rate = strtoul(argv[3], NULL, 10);
        seconds = strtoul(argv[4], NULL, 10);
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || rate == 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
                perror("flood");
                return EXIT_FAILURE;
        }
        for (unsigned i = 0; i < BATCH; i++)
                messages[i].msg_hdr = (struct msghdr){ .msg_iov = &data, .msg_iovlen = 1 };

        clock_gettime(CLOCK_MONOTONIC, &next);
        while (sent < rate * seconds) {
                int n = sendmmsg(fd, messages, BATCH, 0);

                if (n < 0 && errno != ECONNREFUSED) {
                        perror("flood: sendmmsg");
                        return EXIT_FAILURE;
                }
                sent += n > 0 ? (unsigned long)n : 0;
                next.tv_nsec += (long)(1000000000UL * BATCH / rate);
                next.tv_sec += next.tv_nsec / 1000000000L;
                next.tv_nsec %= 1000000000L;
                (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
        }
        printf("%lu\n", sent);
        (void)close(fd);
        return EXIT_SUCCESS;
}
