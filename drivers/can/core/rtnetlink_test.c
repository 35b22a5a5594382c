/* rtnetlink as bytes, and the kernel's own answer about its loopback interface, which every machine has. */
#include "rtnetlink.h"

#include <linux/capability.h>
#include <linux/can/netlink.h>
#include <linux/gen_stats.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "os_linux.h"

static size_t put(unsigned char *to, size_t at, uint16_t type, const void *value, size_t length)
{
    struct rtattr head = { .rta_len = (uint16_t)RTA_LENGTH(length), .rta_type = type };
    memset(to + at, 0, RTA_SPACE(length));
    memcpy(to + at, &head, sizeof head);
    memcpy(to + at + sizeof head, value, length);
    return at + RTA_SPACE(length);
}
static size_t put_u32(unsigned char *to, size_t at, uint16_t type, uint32_t value) { return put(to, at, type, &value, sizeof value); }

/* RTM_NEWLINK of a CAN interface as a kernel sends it, error-passive at 500 kbit/s. */
static size_t can_link_message(unsigned char *message)
{
    unsigned char data[512], info[600];
    struct can_bittiming timing = { .bitrate = 500000, .sample_point = 875 };
    struct can_bittiming data_timing = { .bitrate = 2000000 };
    struct can_bittiming_const data_limits = { .name = "mcp251xfd" };
    struct can_ctrlmode mode = { .mask = ~0u, .flags = CAN_CTRLMODE_LISTENONLY };
    struct can_berr_counter counters = { .txerr = 136, .rxerr = 7 };
    size_t at = put(data, 0, IFLA_CAN_BITTIMING, &timing, sizeof timing);
    at = put(data, at, IFLA_CAN_DATA_BITTIMING, &data_timing, sizeof data_timing);
    at = put(data, at, IFLA_CAN_DATA_BITTIMING_CONST, &data_limits, sizeof data_limits);
    at = put(data, at, IFLA_CAN_CTRLMODE, &mode, sizeof mode);
    at = put_u32(data, at, IFLA_CAN_STATE, CAN_STATE_ERROR_PASSIVE);
    at = put_u32(data, at, IFLA_CAN_RESTART_MS, 200);
    at = put(data, at, IFLA_CAN_BERR_COUNTER, &counters, sizeof counters);
    size_t info_length = put(info, 0, IFLA_INFO_KIND, "can", 4);
    info_length = put(info, info_length, IFLA_INFO_DATA, data, at);

    struct nlmsghdr header = { .nlmsg_type = RTM_NEWLINK, .nlmsg_seq = 77 };
    struct ifinfomsg link = { .ifi_index = 9, .ifi_type = ARPHRD_CAN, .ifi_flags = IFF_UP | IFF_RUNNING };
    size_t length = sizeof header;
    memcpy(message + length, &link, sizeof link);
    length += sizeof link;
    length = put(message, length, IFLA_IFNAME, "can0", 5);
    length = put_u32(message, length, IFLA_MTU, 72);
    length = put_u32(message, length, IFLA_TXQLEN, 10);
    length = put(message, length, IFLA_LINKINFO | NLA_F_NESTED, info, info_length);
    header.nlmsg_len = (uint32_t)length;
    memcpy(message, &header, sizeof header);
    return length;
}

static void a_can_link_is_read(void)
{
    unsigned char bytes[1024];
    struct rtnetlink_message message;
    size_t length = can_link_message(bytes);
    CHECK_INT(rtnetlink_read(bytes, length, &message), length);
    CHECK_INT(message.kind, RTNETLINK_LINK);
    CHECK_INT(message.sequence, 77);
    const struct ipcnet_can_link *link = &message.link;
    CHECK(link->is_can && link->up && link->running && link->fd && link->fd_capable && link->listen_only && link->bus_state_known && link->controller);
    CHECK_INT(link->index, 9);
    CHECK_INT(link->tx_queue_frames, 10);
    CHECK_INT(link->bitrate_bps, 500000);
    CHECK_INT(link->data_bitrate_bps, 2000000);
    CHECK_INT(link->restart_ms, 200);
    CHECK_INT(link->bus_state, 2);
    CHECK_INT(link->tec, 136);
    CHECK_INT(link->rec, 7);
}

static void a_qdisc_tells_its_backlog(void)
{
    unsigned char bytes[512] = { 0 }, stats[64];
    struct gnet_stats_queue queue = { .qlen = 9, .backlog = 144 };
    struct tcmsg info = { .tcm_ifindex = 9, .tcm_parent = TC_H_ROOT };
    struct nlmsghdr header = { .nlmsg_type = RTM_NEWQDISC };
    struct rtnetlink_message message;
    size_t stats_length = put(stats, 0, TCA_STATS_QUEUE, &queue, sizeof queue);
    memcpy(bytes + sizeof header, &info, sizeof info);
    size_t length = put(bytes, sizeof header + sizeof info, TCA_KIND, "pfifo_fast", 11);
    length = put(bytes, length, TCA_STATS2, stats, stats_length);
    header.nlmsg_len = (uint32_t)length;
    memcpy(bytes, &header, sizeof header);
    CHECK(rtnetlink_read(bytes, length, &message) > 0);
    CHECK_INT(message.kind, RTNETLINK_QDISC);
    CHECK_INT(message.qdisc_index, 9);
    CHECK(message.qdisc_is_root);
    CHECK_INT(message.qdisc_frames, 9);
}

static void restart_is_what_ip_sends(void)
{
    unsigned char bytes[RTNETLINK_REQUEST_MAX];
    size_t length = rtnetlink_restart_can(bytes, 5, 3);
    /* header 16, ifinfomsg 16, LINKINFO { KIND "can", DATA { RESTART 1 } } */
    static const unsigned char expected_tail[] = { 24, 0, IFLA_LINKINFO, 0, 8, 0, IFLA_INFO_KIND, 0, 'c', 'a', 'n', 0, 12, 0, IFLA_INFO_DATA, 0, 8, 0, IFLA_CAN_RESTART, 0, 1, 0, 0, 0 };
    CHECK_INT(length, 32 + sizeof expected_tail);
    CHECK(memcmp(bytes + 32, expected_tail, sizeof expected_tail) == 0);
    CHECK_INT(bytes[0], length);
    length = rtnetlink_set_up(bytes, 6, 3, false);
    struct ifinfomsg info;
    memcpy(&info, bytes + 16, sizeof info);
    CHECK_INT(length, 32);
    CHECK_INT(info.ifi_change, IFF_UP);
    CHECK_INT(info.ifi_flags, 0);
}

static void torn_and_lying_messages_are_survived(void)
{
    unsigned char bytes[1024];
    struct rtnetlink_message message;
    size_t length = can_link_message(bytes);
    for (size_t cut = 0; cut < length; cut++) { /* from the heap, so that the sanitizer sees a byte too far */
        unsigned char *part = malloc(cut > 0 ? cut : 1);
        memcpy(part, bytes, cut);
        CHECK_INT(rtnetlink_read(part, cut, &message), 0);
        free(part);
    }
    uint32_t seed = 1;
    for (int round = 0; round < 200000; round++) {
        unsigned char copy[1024];
        memcpy(copy, bytes, length);
        for (int flips = 0; flips < 3; flips++) {
            seed = seed * 1664525u + 1013904223u;
            copy[16 + (seed >> 8) % (length - 16)] = (unsigned char)(seed >> 24);
        }
        unsigned char *exact = malloc(length);
        memcpy(exact, copy, length);
        (void)rtnetlink_read(exact, length, &message);
        free(exact);
    }
    CHECK(true);
}

/* What the kernel says in text. -1: it says nothing. */
static int net_admin_by_text(void)
{
    unsigned long long effective;
    int found = -1;
    char line[128];
    FILE *file = fopen("/proc/thread-self/status", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "CapEff: %llx", &effective) == 1) found = (int)(effective >> 12 & 1u);
    if (file != NULL) fclose(file);
    return found;
}

/* Nothing is opened for it: the answer is the same where no further file can be. */
static void the_right_to_purge_is_asked_without_a_file(void)
{
    struct ipcnet_can_linux context = { .notifications = -1 };
    struct ipcnet_can_os os = ipcnet_can_linux_os(&context);
    int expected = net_admin_by_text();
    struct rlimit before, none;
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &none), 0);
    bool may = os.may_purge(os.context);
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &before), 0);
    if (expected >= 0) CHECK_INT(may, expected);
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct kept[_LINUX_CAPABILITY_U32S_3], sets[_LINUX_CAPABILITY_U32S_3];
    CHECK_INT((int)syscall(SYS_capget, &head, kept), 0);
    memcpy(sets, kept, sizeof sets);
    sets[0].effective &= ~(1u << 12);
    CHECK_INT((int)syscall(SYS_capset, &head, sets), 0);
    CHECK(!os.may_purge(os.context)); /* root without it */
    CHECK_INT((int)syscall(SYS_capset, &head, kept), 0);
    CHECK_INT(os.may_purge(os.context), may);
}

static void the_kernel_answers_about_loopback(void)
{
    struct ipcnet_can_linux context;
    struct ipcnet_can_link link = { 0 };
    struct ipcnet_can_link_event event;
    char list[256];
    if (ipcnet_can_linux_init(&context) != 0) {
        printf("rtnetlink: no netlink sockets here: the kernel was not asked\n");
        return;
    }
    struct ipcnet_can_os os = ipcnet_can_linux_os(&context);
    int index = os.interface_index(os.context, "lo");
    CHECK(index > 0);
    CHECK_INT(os.link_query(os.context, index, &link), 0);
    CHECK_INT(link.index, index);
    CHECK(!link.is_can);
    struct ipcnet_can_link glance = { 0 };
    CHECK_INT(os.link_glance(os.context, "lo", index, &glance), 0);
    CHECK_INT(glance.up, link.up);
    CHECK_INT(os.link_glance(os.context, "lo", index + 1000, &glance), -19); /* another interface took the name */
    CHECK(os.carries_fd(os.context, "lo") == 1); /* its MTU is far above 72 */
    CHECK(os.tx_backlog(os.context, index) >= 0);
    CHECK(os.link_query(os.context, 999999, &link) < 0);
    CHECK_INT(os.interface_index(os.context, "no-such-interface-name-at-all"), -19);
    CHECK(os.interface_list(os.context, list, sizeof list) >= 0);
    CHECK_INT(os.link_event(os.context, &event), 0);
    CHECK(os.link_fd(os.context) >= 0);
    CHECK(os.monotonic_ns(os.context) > 0 && os.stamp_offset_ns(os.context) != 0);
    ipcnet_can_linux_close(&context);
}

/* In a network of the test's own, on the one interface that every network has. */
static void an_interface_is_taken_down_and_up_and_a_witness_sees_it(void)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct ipcnet_can_linux context;
        struct ipcnet_can_link link = { 0 };
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0 || ipcnet_can_linux_init(&context) != 0) _exit(77);
        struct ipcnet_can_os os = ipcnet_can_linux_os(&context);
        int lo = os.interface_index(os.context, "lo"), before = ipcnet_can_linux_watch();
        CHECK(lo > 0 && before >= 0);
        CHECK_INT(os.purge(os.context, lo), 0); /* it was down: nothing that went down */
        CHECK(!ipcnet_can_linux_saw_it_down(before, lo));
        CHECK(os.link_query(os.context, lo, &link) == 0 && link.up);
        CHECK_INT(os.purge(os.context, lo), 0);
        CHECK(os.link_query(os.context, lo, &link) == 0 && link.up);
        CHECK(ipcnet_can_linux_saw_it_down(before, lo));
        CHECK(!ipcnet_can_linux_saw_it_down(before, lo)); /* once */
        CHECK_INT(os.purge(os.context, lo), 0);
        CHECK(!ipcnet_can_linux_saw_it_down(before, lo + 1)); /* another one */
        CHECK_INT(os.purge(os.context, 999), -19);
        struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
        CHECK_INT((int)syscall(SYS_capset, &head, none), 0);
        CHECK_INT(os.purge(os.context, lo), -1);
        CHECK(os.link_query(os.context, lo, &link) == 0 && link.up);
        CHECK(!ipcnet_can_linux_saw_it_down(before, lo));
        _exit(checks_failed == 0 ? 0 : 1);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) printf("rtnetlink: no namespaces here: nothing was taken down\n");
    else CHECK_INT(WEXITSTATUS(status), 0);
}

int main(void)
{
    a_can_link_is_read();
    a_qdisc_tells_its_backlog();
    restart_is_what_ip_sends();
    torn_and_lying_messages_are_survived();
    the_right_to_purge_is_asked_without_a_file();
    the_kernel_answers_about_loopback();
    an_interface_is_taken_down_and_up_and_a_witness_sees_it();
    return checks_report("rtnetlink");
}
