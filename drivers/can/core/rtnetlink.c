#include "rtnetlink.h"

#include <linux/can.h>
#include <linux/can/netlink.h>
#include <linux/gen_stats.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>

/* ---- Building ----------------------------------------------------------------------------------------------------------------------- */

struct link_request {
    struct nlmsghdr header;
    struct ifinfomsg info;
};
_Static_assert(sizeof(struct link_request) == 32, "no padding between header and body");

static struct link_request link_request(uint16_t type, uint16_t flags, uint32_t sequence, int index)
{
    return (struct link_request){ .header = { .nlmsg_len = sizeof(struct link_request), .nlmsg_type = type, .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags), .nlmsg_seq = sequence },
                                  .info = { .ifi_family = AF_UNSPEC, .ifi_index = index } };
}

size_t rtnetlink_get_link(void *buffer, uint32_t sequence, int index)
{
    struct link_request request = link_request(RTM_GETLINK, 0, sequence, index);
    memcpy(buffer, &request, sizeof request);
    return sizeof request;
}

size_t rtnetlink_set_up(void *buffer, uint32_t sequence, int index, bool up)
{
    struct link_request request = link_request(RTM_NEWLINK, NLM_F_ACK, sequence, index);
    request.info.ifi_change = IFF_UP;
    request.info.ifi_flags = up ? IFF_UP : 0;
    memcpy(buffer, &request, sizeof request);
    return sizeof request;
}

/* Appends an attribute and returns where the next one goes. */
static size_t attribute(unsigned char *buffer, size_t at, uint16_t type, const void *value, size_t length)
{
    struct rtattr head = { .rta_len = (uint16_t)RTA_LENGTH(length), .rta_type = type };
    memset(buffer + at, 0, RTA_SPACE(length));
    memcpy(buffer + at, &head, sizeof head);
    if (value != NULL) memcpy(buffer + at + RTA_LENGTH(0), value, length);
    return at + RTA_SPACE(length);
}

size_t rtnetlink_restart_can(void *buffer, uint32_t sequence, int index)
{
    unsigned char *bytes = buffer;
    struct link_request request = link_request(RTM_NEWLINK, NLM_F_ACK, sequence, index);
    const uint32_t one = 1;
    unsigned char data[RTA_SPACE(sizeof one)], info[RTA_SPACE(4) + RTA_SPACE(sizeof data)];
    (void)attribute(data, 0, IFLA_CAN_RESTART, &one, sizeof one);
    size_t at = attribute(info, 0, IFLA_INFO_KIND, "can", 4);
    at = attribute(info, at, IFLA_INFO_DATA, data, sizeof data);
    size_t end = attribute(bytes, sizeof request, IFLA_LINKINFO, info, at);
    request.header.nlmsg_len = (uint32_t)end;
    memcpy(bytes, &request, sizeof request);
    return end;
}

size_t rtnetlink_get_qdisc(void *buffer, uint32_t sequence, int index)
{
    struct {
        struct nlmsghdr header;
        struct tcmsg info;
    } request = { .header = { .nlmsg_len = sizeof request, .nlmsg_type = RTM_GETQDISC, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = sequence },
                  .info = { .tcm_family = AF_UNSPEC, .tcm_ifindex = index } };
    memcpy(buffer, &request, sizeof request);
    return sizeof request;
}

/* ---- Reading ------------------------------------------------------------------------------------------------------------------------ */

/* The next attribute of a run, or false at its end. Moves `*bytes` on. */
static bool next_attribute(const unsigned char **bytes, size_t *left, uint16_t *type, const unsigned char **value, size_t *length)
{
    struct rtattr head;
    if (*left < sizeof head) return false;
    memcpy(&head, *bytes, sizeof head);
    if (head.rta_len < sizeof head || head.rta_len > *left) return false;
    *type = head.rta_type & NLA_TYPE_MASK;
    *value = *bytes + RTA_LENGTH(0);
    *length = head.rta_len - RTA_LENGTH(0);
    size_t step = RTA_ALIGN(head.rta_len);
    if (step > *left) step = *left;
    *bytes += step;
    *left -= step;
    return true;
}

static uint32_t u32_of(const unsigned char *value, size_t length)
{
    uint32_t number = 0;
    if (length >= sizeof number) memcpy(&number, value, sizeof number);
    return number;
}

static void read_can_data(const unsigned char *bytes, size_t left, struct ipcnet_can_link *link)
{
    uint16_t type;
    const unsigned char *value;
    size_t length;
    while (next_attribute(&bytes, &left, &type, &value, &length)) {
        switch (type) {
        case IFLA_CAN_BITTIMING: link->bitrate_bps = u32_of(value, length); break;      /* its first member is the bit rate */
        case IFLA_CAN_DATA_BITTIMING: link->data_bitrate_bps = u32_of(value, length); break;
        case IFLA_CAN_DATA_BITTIMING_CONST: case IFLA_CAN_DATA_BITRATE_CONST: link->fd_capable = true; break; /* the one or the other, of those that have an FD mode */
        case IFLA_CAN_RESTART_MS: link->restart_ms = u32_of(value, length); break;
        case IFLA_CAN_CTRLMODE: {
            struct can_ctrlmode mode;
            if (length < sizeof mode) break;
            memcpy(&mode, value, sizeof mode);
            link->listen_only = (mode.flags & CAN_CTRLMODE_LISTENONLY) != 0;
            break;
        }
        case IFLA_CAN_STATE: {
            uint32_t state = u32_of(value, length); /* enum can_state: active, warning, passive, bus-off, stopped, sleeping */
            link->bus_state_known = length >= sizeof state && state <= CAN_STATE_BUS_OFF;
            if (link->bus_state_known) link->bus_state = (uint8_t)state;
            break;
        }
        case IFLA_CAN_BERR_COUNTER: {
            struct can_berr_counter counters;
            if (length < sizeof counters) break;
            memcpy(&counters, value, sizeof counters);
            link->tec = counters.txerr;
            link->rec = counters.rxerr;
            break;
        }
        default: break;
        }
    }
}

static void read_link_info(const unsigned char *bytes, size_t left, struct ipcnet_can_link *link)
{
    uint16_t type;
    const unsigned char *value, *data = NULL;
    size_t length, data_length = 0;
    bool can = false;
    while (next_attribute(&bytes, &left, &type, &value, &length)) {
        if (type == IFLA_INFO_KIND) can = length >= 3 && memcmp(value, "can", 3) == 0 && (length == 3 || value[3] == '\0');
        if (type == IFLA_INFO_DATA) {
            data = value;
            data_length = length;
        }
    }
    link->controller = can;
    if (can && data != NULL) read_can_data(data, data_length, link);
}

static void read_link(const unsigned char *bytes, size_t left, struct rtnetlink_message *message)
{
    struct ifinfomsg info;
    struct ipcnet_can_link *link = &message->link;
    uint16_t type;
    const unsigned char *value;
    size_t length;
    if (left < sizeof info) {
        message->kind = RTNETLINK_NOTHING;
        return;
    }
    memcpy(&info, bytes, sizeof info);
    link->index = info.ifi_index;
    link->is_can = info.ifi_type == ARPHRD_CAN;
    link->up = (info.ifi_flags & IFF_UP) != 0;
    link->running = (info.ifi_flags & IFF_RUNNING) != 0;
    bytes += NLMSG_ALIGN(sizeof info);
    left -= NLMSG_ALIGN(sizeof info) < left ? NLMSG_ALIGN(sizeof info) : left;
    while (next_attribute(&bytes, &left, &type, &value, &length)) {
        if (type == IFLA_MTU) link->fd = u32_of(value, length) >= CANFD_MTU;
        else if (type == IFLA_TXQLEN) link->tx_queue_frames = u32_of(value, length);
        else if (type == IFLA_LINKINFO) read_link_info(value, length, link);
    }
}

static uint32_t queue_length(const unsigned char *bytes, size_t left)
{
    uint16_t type;
    const unsigned char *value;
    size_t length;
    while (next_attribute(&bytes, &left, &type, &value, &length)) {
        struct gnet_stats_queue queue;
        if (type != TCA_STATS_QUEUE || length < sizeof queue) continue;
        memcpy(&queue, value, sizeof queue);
        return queue.qlen;
    }
    return 0;
}

static void read_qdisc(const unsigned char *bytes, size_t left, struct rtnetlink_message *message)
{
    struct tcmsg info;
    uint16_t type;
    const unsigned char *value;
    size_t length;
    if (left < sizeof info) {
        message->kind = RTNETLINK_NOTHING;
        return;
    }
    memcpy(&info, bytes, sizeof info);
    message->qdisc_index = info.tcm_ifindex;
    message->qdisc_is_root = info.tcm_parent == TC_H_ROOT;
    bytes += NLMSG_ALIGN(sizeof info);
    left -= NLMSG_ALIGN(sizeof info) < left ? NLMSG_ALIGN(sizeof info) : left;
    while (next_attribute(&bytes, &left, &type, &value, &length))
        if (type == TCA_STATS2) message->qdisc_frames = queue_length(value, length);
}

size_t rtnetlink_read(const void *bytes, size_t length, struct rtnetlink_message *message)
{
    struct nlmsghdr header;
    memset(message, 0, sizeof *message);
    if (length < sizeof header) return 0;
    memcpy(&header, bytes, sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > length) return 0;
    const unsigned char *body = (const unsigned char *)bytes + NLMSG_HDRLEN;
    size_t left = header.nlmsg_len - NLMSG_HDRLEN;
    message->sequence = header.nlmsg_seq;
    switch (header.nlmsg_type) {
    case NLMSG_ERROR: {
        message->kind = RTNETLINK_ERROR;
        if (left >= sizeof(int32_t)) memcpy(&message->error, body, sizeof(int32_t));
        break;
    }
    case NLMSG_DONE: message->kind = RTNETLINK_DONE; break;
    case RTM_NEWLINK:
        message->kind = RTNETLINK_LINK;
        read_link(body, left, message);
        break;
    case RTM_DELLINK:
        message->kind = RTNETLINK_LINK_GONE;
        read_link(body, left, message);
        break;
    case RTM_NEWQDISC:
        message->kind = RTNETLINK_QDISC;
        read_qdisc(body, left, message);
        break;
    default: message->kind = RTNETLINK_NOTHING; break;
    }
    size_t step = NLMSG_ALIGN(header.nlmsg_len);
    return step < length ? step : length;
}
