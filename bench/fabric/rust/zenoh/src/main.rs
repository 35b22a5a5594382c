//! Zenoh: sessions as peers over a Unix socket, its defaults otherwise: payloads of 3 KiB and more go through shared memory. Leaves answer in their callback; the hub waits on a channel.
use fabric_stage::{run, Answer, Hub, Plan, Stage, ACKNOWLEDGEMENT_BYTES};
use std::sync::mpsc::{channel, Receiver};
use std::sync::Mutex;
use zenoh::pubsub::Publisher;
use zenoh::qos::CongestionControl;
use zenoh::{Session, Wait};

struct End {
    publisher: Publisher<'static>,
    received: Receiver<zenoh::sample::Sample>,
    _subscriber: zenoh::pubsub::Subscriber<()>,
    _session: Session,
}

fn session(plan: &Plan, listens: bool) -> Session {
    let mut config = zenoh::Config::default();
    let endpoint = format!("[\"unixsock-stream//tmp/ipcnet-bench-zenoh-{}\"]", plan.run);
    let mut set = |key: &str, value: &str| config.insert_json5(key, value).expect("a known setting");
    set("mode", "\"peer\"");
    set("scouting/multicast/enabled", "false");
    set("scouting/gossip/enabled", "false");
    set("listen/endpoints", if listens { &endpoint } else { "[]" });
    set("connect/endpoints", if listens { "[]" } else { &endpoint });
    if !listens {
        set("connect/timeout_ms", "10000");
        set("connect/exit_on_failure", "true");
    }
    zenoh::open(config).wait().expect("a session")
}

fn publisher(session: &Session, key: &'static str) -> Publisher<'static> {
    session.declare_publisher(key).congestion_control(CongestionControl::Block).wait().expect("a publisher")
}

fn open(plan: &Plan) -> End {
    let session = session(plan, true);
    let (sender, received) = channel();
    let sender = Mutex::new(sender);
    let subscriber = session.declare_subscriber("ipcnet-bench/up").callback(move |sample| drop(sender.lock().expect("not poisoned").send(sample))).wait().expect("a subscriber");
    End { publisher: publisher(&session, "ipcnet-bench/down"), received, _subscriber: subscriber, _session: session }
}

fn copy_out(sample: &zenoh::sample::Sample, buffer: &mut [u8]) -> usize {
    let mut at = 0;
    for slice in sample.payload().slices() {
        buffer[at..at + slice.len()].copy_from_slice(slice);
        at += slice.len();
    }
    at
}

impl Hub for End {
    fn send(&mut self, bytes: &[u8]) {
        self.publisher.put(bytes).wait().expect("sent");
    }

    fn receive(&mut self, buffer: &mut [u8]) -> usize {
        copy_out(&self.received.recv().expect("open"), buffer)
    }
}

fn be_leaf(plan: &Plan, index: usize, stage: &'static Stage) {
    let session = session(plan, false);
    let out = publisher(&session, "ipcnet-bench/up");
    let buffer = Mutex::new(vec![0u8; plan.payload_bytes]);
    let _subscriber = session
        .declare_subscriber("ipcnet-bench/down")
        .callback(move |sample| {
            let mut buffer = buffer.lock().expect("not poisoned");
            let length = copy_out(&sample, &mut buffer);
            let answer = match stage.took(index) {
                Answer::SendBack => length,
                Answer::Acknowledge => ACKNOWLEDGEMENT_BYTES,
                Answer::Nothing => return,
            };
            out.put(&buffer[..answer]).wait().expect("sent");
        })
        .wait()
        .expect("a subscriber");
    loop {
        std::thread::park();
    }
}

fn main() {
    run("Zenoh", false, open, be_leaf);
}
