//! iceoryx2: payloads written into a loan and copied out of the sample. "iceoryx2, spinning" polls; "iceoryx2" sleeps on a listener and notifies it after each message.
use fabric_stage::{run, Answer, Hub, Plan, Stage, ACKNOWLEDGEMENT_BYTES, LEAVES_MAX};
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;

struct Out {
    publisher: Publisher<ipc::Service, [u8], ()>,
    notifier: Option<Notifier<ipc::Service>>,
}

struct In {
    subscriber: Subscriber<ipc::Service, [u8], ()>,
    listener: Option<Listener<ipc::Service>>,
}

struct End {
    out: Out,
    into: In,
    _node: Node<ipc::Service>,
}

fn name(plan: &Plan, way: &str) -> ServiceName {
    format!("ipcnet-bench/{}/{way}", plan.run).as_str().try_into().expect("a name")
}

fn open(plan: &Plan, writes: &str, reads: &str, sleeps: bool) -> End {
    let node = NodeBuilder::new().create::<ipc::Service>().expect("a node");
    let service = |way: &str| {
        node.service_builder(&name(plan, way))
            .publish_subscribe::<[u8]>()
            .enable_safe_overflow(false)
            .subscriber_max_buffer_size(plan.depth)
            .max_subscribers(LEAVES_MAX)
            .max_publishers(LEAVES_MAX)
            .max_nodes(LEAVES_MAX + 1)
            .open_or_create()
            .expect("a service")
    };
    let event = |way: &str| {
        node.service_builder(&name(plan, way)).event().max_listeners(LEAVES_MAX).max_notifiers(LEAVES_MAX).max_nodes(LEAVES_MAX + 1).open_or_create().expect("an event")
    };
    let into = In {
        listener: sleeps.then(|| event(reads).listener_builder().create().expect("a listener")),
        subscriber: service(reads).subscriber_builder().create().expect("a subscriber"),
    };
    let out = Out {
        publisher: service(writes).publisher_builder().initial_max_slice_len(plan.payload_bytes).backpressure_strategy(BackpressureStrategy::RetryUntilDelivered).create().expect("a publisher"),
        notifier: sleeps.then(|| event(writes).notifier_builder().create().expect("a notifier")),
    };
    End { out, into, _node: node }
}

impl Out {
    fn send(&self, bytes: &[u8]) {
        self.publisher.loan_slice_uninit(bytes.len()).expect("a loan").write_from_slice(bytes).send().expect("sent");
        if let Some(notifier) = &self.notifier {
            // Refused when the listener has more than it can take: then it is awake.
            let _ = notifier.notify();
        }
    }
}

impl In {
    fn receive(&self, buffer: &mut [u8]) -> usize {
        loop {
            if let Some(sample) = self.subscriber.receive().expect("no error") {
                buffer[..sample.payload().len()].copy_from_slice(sample.payload());
                return sample.payload().len();
            }
            match &self.listener {
                Some(listener) => {
                    listener.blocking_wait(|_| ()).expect("woken");
                }
                None => std::hint::spin_loop(),
            }
        }
    }
}

impl Hub for End {
    fn send(&mut self, bytes: &[u8]) {
        self.out.send(bytes);
    }

    fn receive(&mut self, buffer: &mut [u8]) -> usize {
        self.into.receive(buffer)
    }
}

fn be_leaf(plan: &Plan, index: usize, stage: &Stage, sleeps: bool) {
    let end = open(plan, "up", "down", sleeps);
    let mut buffer = vec![0u8; plan.payload_bytes];
    loop {
        let length = end.into.receive(&mut buffer);
        match stage.took(index) {
            Answer::SendBack => end.out.send(&buffer[..length]),
            Answer::Acknowledge => end.out.send(&buffer[..ACKNOWLEDGEMENT_BYTES]),
            Answer::Nothing => (),
        }
    }
}

fn main() {
    set_log_level(LogLevel::Error);
    let peer = std::env::args().nth(1).unwrap_or_default();
    let sleeps = match peer.as_str() {
        "iceoryx2" => true,
        "iceoryx2, spinning" => false,
        _ => panic!("no peer {peer}"),
    };
    run(&peer, !sleeps, |plan| open(plan, "down", "up", sleeps), |plan, index, stage| be_leaf(plan, index, stage, sleeps));
}
