/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "packet-view.h"

#include <errno.h>
#include <string.h>

static uint16_t read_u16(const uint8_t *p) {
        return (uint16_t)(p[0] << 8 | p[1]);
}

static void map_v4(const uint8_t *v4, uint8_t ret[16]) {
        memset(ret, 0, 10);
        ret[10] = ret[11] = 0xff;
        memcpy(ret + 12, v4, 4);
}

static int view_transport(const uint8_t *p, size_t size, PacketView *view) {
        switch (view->protocol) {
        case 6:
                if (size < 20 || p[12] >> 4 < 5 || (size_t)(p[12] >> 4) * 4 > size)
                        return -EBADMSG;
                view->is_syn = p[13] == 0x02;
                break;
        case 17:
                if (size < 8 || read_u16(p + 4) != size)
                        return -EBADMSG;
                break;
        case 136: /* the length is a coverage: all of it, or 0, which says the same */
                if (size < 8 || (read_u16(p + 4) != 0 && read_u16(p + 4) != size))
                        return -EBADMSG;
                break;
        case 132:
                if (size < 12)
                        return -EBADMSG;
                break;
        case 1:
        case 58:
                if (size < 8)
                        return -EBADMSG;
                view->is_echo = p[0] == (view->protocol == 1 ? 8 : 128) && p[1] == 0;
                return 0;
        default:
                return 0;
        }
        view->has_ports = true;
        view->source_port = read_u16(p);
        view->destination_port = read_u16(p + 2);
        return 0;
}

int packet_view(const uint8_t *packet, size_t size, PacketView *ret) {
        PacketView view = { .version = size > 0 ? packet[0] >> 4 : 0 };
        size_t header;
        int r;

        if (view.version == 4) {
                header = (size_t)(packet[0] & 0x0f) * 4;
                if (size < 20 || header < 20 || header > size || read_u16(packet + 2) != size)
                        return -EBADMSG;
                if ((read_u16(packet + 6) & 0x3fff) != 0) /* a fragment */
                        return -EBADMSG;
                view.protocol = packet[9];
                map_v4(packet + 12, view.source);
                map_v4(packet + 16, view.destination);
        } else if (view.version == 6) {
                header = 40;
                if (size < header || read_u16(packet + 4) != size - header)
                        return -EBADMSG;
                view.protocol = packet[6];
                memcpy(view.source, packet + 8, 16);
                memcpy(view.destination, packet + 24, 16);
        } else
                return -EBADMSG;

        r = view_transport(packet + header, size - header, &view);
        if (r < 0)
                return r;
        *ret = view;
        return 0;
}

bool packet_address_is_multicast(const uint8_t address[16]) {
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

        if (memcmp(address, mapped, sizeof(mapped)) == 0)
                return address[12] >> 4 == 0xe;
        return address[0] == 0xff;
}
