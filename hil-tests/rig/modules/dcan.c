// SPDX-License-Identifier: GPL-2.0
/* dcan: two CAN controllers (dcan0, dcan1) on one simulated bus, each with ONE transmit mailbox, on the kernel's can-dev.
 * A frame is acknowledged when the other controller is up. Without an acknowledge the controller repeats it every 200 us until there is one,
 * its TEC climbs to 128 (error-passive) and stays, an ACK error frame is given at most once per ms when berr-reporting is on.
 * CAN FD with the bit timing limits of an MCP2518FD at 40 MHz. A frame that the other controller cannot read (it is not in FD mode, or at another bit rate) is destroyed by its error flag: a bit error here, TEC + 8, REC + 9 there.
 * An error-passive one destroys nothing any more, but acknowledges nothing either: both end error-passive, as two nodes alone on a bus do (ISO 11898-1, fault confinement).
 * /sys/kernel/debug/dcan: write "N K": controller N fails to be opened K times (-EPROTO), as some USB adapters do; "N off": it goes bus-off. */
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/hrtimer.h>
#include <linux/debugfs.h>
#include <linux/uaccess.h>
#include <linux/can.h>
#include <linux/can/dev.h>
#include <linux/can/error.h>

struct dcan {
	struct can_priv can; /* first */
	struct net_device *dev;
	struct hrtimer timer;
	struct sk_buff *sending; /* a copy for the other side */
	unsigned int tec, rec, repeats, refuse_open, warned;
	spinlock_t lock;
};
static struct net_device *devs[2];
static struct dentry *file;
static unsigned int frame_us = 130;
module_param(frame_us, uint, 0644);

static const struct can_bittiming_const btc = { .name = "dcan", .tseg1_min = 2, .tseg1_max = 256, .tseg2_min = 1, .tseg2_max = 128, .sjw_max = 128, .brp_min = 1, .brp_max = 256, .brp_inc = 1 };
static const struct can_bittiming_const dbtc = { .name = "dcan", .tseg1_min = 1, .tseg1_max = 32, .tseg2_min = 1, .tseg2_max = 16, .sjw_max = 16, .brp_min = 1, .brp_max = 256, .brp_inc = 1 };

static struct net_device *other(struct net_device *dev) { return devs[dev == devs[0] ? 1 : 0]; }
static bool heard(struct net_device *dev)
{
	struct dcan *p = netdev_priv(other(dev));
	return netif_running(other(dev)) && p->can.state < CAN_STATE_BUS_OFF;
}
/* By the other one: same bit rates, and FD mode for an FD frame. */
static bool understood(struct net_device *dev, struct sk_buff *skb)
{
	struct dcan *p = netdev_priv(dev), *o = netdev_priv(other(dev));
	if (p->can.bittiming.bitrate != o->can.bittiming.bitrate) return false;
	if (!can_is_canfd_skb(skb)) return true;
	if (!(o->can.ctrlmode & CAN_CTRLMODE_FD)) return false;
	return !(((struct canfd_frame *)skb->data)->flags & CANFD_BRS) || p->can.data_bittiming.bitrate == o->can.data_bittiming.bitrate;
}
static enum can_state state_at(unsigned int count)
{
	return count >= 128 ? CAN_STATE_ERROR_PASSIVE : count >= 96 ? CAN_STATE_ERROR_WARNING : CAN_STATE_ERROR_ACTIVE;
}
/* `kind`: CAN_ERR_PROT_…, of class CAN_ERR_PROT. */
static void report(struct net_device *dev, enum can_state st, u32 cls, u8 kind)
{
	struct dcan *p = netdev_priv(dev);
	struct can_frame *cf;
	struct sk_buff *skb = alloc_can_err_skb(dev, &cf);
	if (!skb) return;
	if (st != p->can.state) can_change_state(dev, cf, p->tec >= p->rec ? st : CAN_STATE_ERROR_ACTIVE, p->tec < p->rec ? st : CAN_STATE_ERROR_ACTIVE);
	cf->can_id |= cls | CAN_ERR_CNT;
	cf->data[2] |= kind;
	cf->data[6] = p->tec;
	cf->data[7] = p->rec;
	netif_rx(skb);
}
static void go_bus_off(struct net_device *dev)
{
	struct dcan *p = netdev_priv(dev);
	if (!netif_running(dev) || p->can.state >= CAN_STATE_BUS_OFF) return;
	p->tec = 256;
	report(dev, CAN_STATE_BUS_OFF, 0, 0);
	can_bus_off(dev);
}

/* Counters have changed. `cls`: an error on the bus, told at most once per ms. */
static void told(struct net_device *dev, u32 cls, u8 kind)
{
	struct dcan *p = netdev_priv(dev);
	enum can_state st = state_at(max(p->tec, p->rec));
	if (p->can.state >= CAN_STATE_BUS_OFF) return;
	if (cls && (!(p->can.ctrlmode & CAN_CTRLMODE_BERR_REPORTING) || (p->repeats++ % 5) != 0)) cls = 0;
	if (cls || st != p->can.state) report(dev, st, cls, kind);
}
static enum hrtimer_restart fire(struct hrtimer *t)
{
	struct dcan *p = container_of(t, struct dcan, timer);
	struct net_device *dev = p->dev;
	struct dcan *o = netdev_priv(other(dev));
	struct sk_buff *copy;
	bool acknowledged, destroyed;
	unsigned long flags;
	spin_lock_irqsave(&p->lock, flags);
	copy = p->sending;
	if (!copy || p->can.state >= CAN_STATE_BUS_OFF) { spin_unlock_irqrestore(&p->lock, flags); return HRTIMER_NORESTART; }
	acknowledged = heard(dev) && understood(dev, copy);
	destroyed = heard(dev) && !acknowledged && o->rec < 128;
	if (!acknowledged) {
		/* An acknowledgement that is missing costs an error-passive transmitter nothing. */
		if (destroyed || p->tec < 128) p->tec += 8;
		spin_unlock_irqrestore(&p->lock, flags);
		if (p->tec >= 256) { go_bus_off(dev); return HRTIMER_NORESTART; }
		told(dev, destroyed ? CAN_ERR_PROT | CAN_ERR_BUSERROR : CAN_ERR_ACK, destroyed ? CAN_ERR_PROT_BIT : 0);
		if (destroyed) { o->rec += 9; told(o->dev, CAN_ERR_PROT | CAN_ERR_BUSERROR, CAN_ERR_PROT_FORM); }
		hrtimer_forward_now(t, ns_to_ktime((u64)200 * 1000));
		return HRTIMER_RESTART;
	}
	p->sending = NULL;
	if (can_is_canfd_skb(copy) && p->can.state == CAN_STATE_ERROR_PASSIVE) ((struct canfd_frame *)copy->data)->flags |= CANFD_ESI;
	if (p->tec) p->tec--;
	p->repeats = 0;
	spin_unlock_irqrestore(&p->lock, flags);
	dev->stats.tx_packets++;
	if (!can_get_echo_skb(dev, 0, NULL)) p->warned++;
	copy->dev = other(dev);
	copy->dev->stats.rx_packets++;
	netif_rx(copy);
	told(dev, 0, 0);
	if (o->rec) { o->rec = o->rec >= 128 ? 127 : o->rec - 1; told(o->dev, 0, 0); }
	netif_wake_queue(dev);
	return HRTIMER_NORESTART;
}
static netdev_tx_t xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct dcan *p = netdev_priv(dev);
	struct can_frame *cf;
	struct canfd_frame *fd;
	struct sk_buff *copy;
	unsigned long flags;
	if (can_dropped_invalid_skb(dev, skb)) return NETDEV_TX_OK;
	copy = can_is_canfd_skb(skb) ? alloc_canfd_skb(dev, &fd) : alloc_can_skb(dev, &cf);
	if (!copy) return NETDEV_TX_BUSY;
	memcpy(copy->data, skb->data, copy->len);
	netif_stop_queue(dev);
	can_put_echo_skb(skb, dev, 0, 0);
	spin_lock_irqsave(&p->lock, flags);
	p->sending = copy;
	spin_unlock_irqrestore(&p->lock, flags);
	hrtimer_start(&p->timer, ns_to_ktime((u64)frame_us * 1000), HRTIMER_MODE_REL_SOFT);
	return NETDEV_TX_OK;
}
static void drop_sending(struct dcan *p)
{
	unsigned long flags;
	struct sk_buff *skb;
	hrtimer_cancel(&p->timer);
	spin_lock_irqsave(&p->lock, flags);
	skb = p->sending; p->sending = NULL; p->tec = 0; p->rec = 0; p->repeats = 0;
	spin_unlock_irqrestore(&p->lock, flags);
	kfree_skb(skb);
}
static int dopen(struct net_device *dev)
{
	struct dcan *p = netdev_priv(dev);
	int r;
	if (p->refuse_open) { p->refuse_open--; return -EPROTO; }
	r = open_candev(dev);
	if (r) return r;
	p->can.state = CAN_STATE_ERROR_ACTIVE;
	netif_start_queue(dev);
	return 0;
}
static int dclose(struct net_device *dev)
{
	struct dcan *p = netdev_priv(dev);
	netif_stop_queue(dev);
	drop_sending(p);
	p->can.state = CAN_STATE_STOPPED;
	close_candev(dev);
	return 0;
}
static int set_mode(struct net_device *dev, enum can_mode mode)
{
	struct dcan *p = netdev_priv(dev);
	if (mode != CAN_MODE_START) return -EOPNOTSUPP;
	drop_sending(p);
	p->can.state = CAN_STATE_ERROR_ACTIVE;
	netif_wake_queue(dev);
	return 0;
}
static int berr(const struct net_device *dev, struct can_berr_counter *c)
{
	struct dcan *p = netdev_priv(dev);
	c->txerr = p->tec; c->rxerr = p->rec;
	return 0;
}
static const struct net_device_ops ops = { .ndo_open = dopen, .ndo_stop = dclose, .ndo_start_xmit = xmit, .ndo_change_mtu = can_change_mtu };

static ssize_t ctl(struct file *f, const char __user *u, size_t n, loff_t *o)
{
	char b[32], word[4]; unsigned int i, k;
	if (n >= sizeof(b) || copy_from_user(b, u, n)) return -EINVAL;
	b[n] = 0;
	if (sscanf(b, "%u %3s", &i, word) == 2 && i <= 1 && strcmp(word, "off") == 0) { go_bus_off(devs[i]); return n; }
	if (sscanf(b, "%u %u", &i, &k) != 2 || i > 1) return -EINVAL;
	((struct dcan *)netdev_priv(devs[i]))->refuse_open = k;
	return n;
}
static const struct file_operations fops = { .owner = THIS_MODULE, .write = ctl };

static int __init dcan_init(void)
{
	int i, r;
	for (i = 0; i < 2; i++) {
		struct net_device *dev = alloc_candev(sizeof(struct dcan), 1);
		struct dcan *p = netdev_priv(dev);
		strcpy(dev->name, "dcan%d");
		dev->netdev_ops = &ops;
		dev->flags |= IFF_ECHO;
		p->dev = dev;
		spin_lock_init(&p->lock);
		hrtimer_init(&p->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
		p->timer.function = fire;
		p->can.clock.freq = 40000000;
		p->can.bittiming_const = &btc;
		p->can.data_bittiming_const = &dbtc;
		p->can.do_set_mode = set_mode;
		p->can.do_get_berr_counter = berr;
		p->can.ctrlmode_supported = CAN_CTRLMODE_BERR_REPORTING | CAN_CTRLMODE_LISTENONLY | CAN_CTRLMODE_FD;
		devs[i] = dev;
	}
	for (i = 0; i < 2; i++) if ((r = register_candev(devs[i]))) return r;
	file = debugfs_create_file("dcan", 0200, NULL, NULL, &fops);
	return 0;
}
static void __exit dcan_exit(void)
{
	int i;
	debugfs_remove(file);
	for (i = 0; i < 2; i++) unregister_candev(devs[i]);
	for (i = 0; i < 2; i++) free_candev(devs[i]);
}
module_init(dcan_init);
module_exit(dcan_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("two simulated CAN controllers that need an acknowledge");
