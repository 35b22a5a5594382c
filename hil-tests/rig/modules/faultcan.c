// SPDX-License-Identifier: GPL-2.0
/* faultcan: what a CAN controller reports when its bus goes bad, for controllers whose model never does (QEMU's SJA1000).
 * echo "can0 WHAT" > /sys/kernel/debug/faultcan
 *   active warning passive  the state, with the error report that goes with it
 *   off                     bus-off, as a driver enters it: carrier off, restart after restart-ms if that is not 0
 *   overrun                 the controller's receive FIFO has overflowed
 *   ack bit stuff           one protocol error report
 * The state is the kernel's: the controller itself goes on, and takes it back with the next state change of its own. */
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <linux/debugfs.h>
#include <linux/uaccess.h>
#include <linux/can.h>
#include <linux/can/dev.h>
#include <linux/can/error.h>

static struct dentry *file;

static const struct { const char *name; enum can_state state; } states[] = {
	{ "active", CAN_STATE_ERROR_ACTIVE }, { "warning", CAN_STATE_ERROR_WARNING }, { "passive", CAN_STATE_ERROR_PASSIVE }, { "off", CAN_STATE_BUS_OFF },
};

static const struct { const char *name; u32 class; u8 index, value; } reports[] = {
	{ "overrun", CAN_ERR_CRTL, 1, CAN_ERR_CRTL_RX_OVERFLOW },
	{ "ack", CAN_ERR_ACK, 0, 0 },
	{ "bit", CAN_ERR_PROT | CAN_ERR_BUSERROR, 2, CAN_ERR_PROT_BIT },
	{ "stuff", CAN_ERR_PROT | CAN_ERR_BUSERROR, 2, CAN_ERR_PROT_STUFF },
};

static int enter(struct net_device *dev, struct can_priv *priv, enum can_state state)
{
	struct can_frame *frame;
	struct sk_buff *skb;
	if (state == priv->state || priv->state >= CAN_STATE_BUS_OFF) return -EALREADY;
	skb = alloc_can_err_skb(dev, &frame);
	if (!skb) return -ENOMEM;
	can_change_state(dev, frame, state, state == CAN_STATE_BUS_OFF ? CAN_STATE_BUS_OFF : CAN_STATE_ERROR_ACTIVE);
	netif_rx(skb);
	if (state == CAN_STATE_BUS_OFF) can_bus_off(dev);
	return 0;
}

static int tell(struct net_device *dev, const char *what)
{
	struct can_frame *frame;
	struct sk_buff *skb;
	unsigned int i;
	for (i = 0; i < ARRAY_SIZE(reports); i++) {
		if (strcmp(what, reports[i].name)) continue;
		skb = alloc_can_err_skb(dev, &frame);
		if (!skb) return -ENOMEM;
		frame->can_id |= reports[i].class;
		frame->data[reports[i].index] |= reports[i].value;
		if (reports[i].class == CAN_ERR_CRTL) { dev->stats.rx_over_errors++; dev->stats.rx_errors++; }
		netif_rx(skb);
		return 0;
	}
	return -EINVAL;
}

static int inject(const char *name, const char *what)
{
	struct net_device *dev = dev_get_by_name(&init_net, name);
	struct can_priv *priv = dev ? safe_candev_priv(dev) : NULL;
	unsigned int i;
	int result = -ENODEV;
	if (priv && netif_running(dev)) {
		result = -EINVAL;
		for (i = 0; i < ARRAY_SIZE(states); i++) if (!strcmp(what, states[i].name)) result = enter(dev, priv, states[i].state);
		if (result == -EINVAL) result = tell(dev, what);
	}
	dev_put(dev);
	return result;
}

static ssize_t ctl(struct file *f, const char __user *user, size_t length, loff_t *at)
{
	char text[48], name[IFNAMSIZ], what[16];
	int result;
	if (length >= sizeof(text) || copy_from_user(text, user, length)) return -EINVAL;
	text[length] = 0;
	if (sscanf(text, "%15s %15s", name, what) != 2) return -EINVAL;
	/* As a driver's interrupt would: not while somebody takes the interface down. */
	rtnl_lock();
	result = inject(name, what);
	rtnl_unlock();
	return result ? result : (ssize_t)length;
}
static const struct file_operations fops = { .owner = THIS_MODULE, .write = ctl };

static int __init faultcan_init(void)
{
	file = debugfs_create_file("faultcan", 0200, NULL, NULL, &fops);
	return 0;
}
static void __exit faultcan_exit(void)
{
	debugfs_remove(file);
}
module_init(faultcan_init);
module_exit(faultcan_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("injects CAN error states and error reports");
