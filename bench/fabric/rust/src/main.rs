//! iceoryx2, process to process, both sides polling: a round trip with the whole payload written and read on both ways.
//! Usage: ipcnet-bench-peers PAYLOAD_BYTES ROUNDS. Prints one line of JSON; times are round trips in nanoseconds.
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use std::time::Instant;

type AnyError = Box<dyn std::error::Error>;

struct End {
    publisher: Publisher<ipc::Service, [u8], ()>,
    subscriber: Subscriber<ipc::Service, [u8], ()>,
}

fn open(node: &Node<ipc::Service>, writes: &str, reads: &str, payload_bytes: usize) -> Result<End, AnyError> {
    let out = node.service_builder(&writes.try_into()?).publish_subscribe::<[u8]>().open_or_create()?;
    let into = node.service_builder(&reads.try_into()?).publish_subscribe::<[u8]>().open_or_create()?;
    Ok(End {
        publisher: out.publisher_builder().initial_max_slice_len(payload_bytes).create()?,
        subscriber: into.subscriber_builder().create()?,
    })
}

impl End {
    fn send(&self, payload: &[u8]) -> Result<(), AnyError> {
        self.publisher.loan_slice_uninit(payload.len())?.write_from_slice(payload).send()?;
        Ok(())
    }

    /// Whether a message has come; copied like `receive` does.
    fn try_receive(&self, buffer: &mut [u8]) -> Result<bool, AnyError> {
        match self.subscriber.receive()? {
            Some(sample) => buffer.copy_from_slice(sample.payload()),
            None => return Ok(false),
        }
        Ok(true)
    }

    /// Copies the next message into `buffer`, waiting for it without giving the processor away.
    fn receive(&self, buffer: &mut [u8]) -> Result<(), AnyError> {
        while !self.try_receive(buffer)? {
            std::hint::spin_loop();
        }
        Ok(())
    }
}

fn pin(cpu: usize) {
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, std::mem::size_of::<libc::cpu_set_t>(), &set);
    }
}

fn main() -> Result<(), AnyError> {
    let arguments: Vec<String> = std::env::args().collect();
    let payload_bytes: usize = arguments[1].parse()?;
    let rounds: usize = arguments[2].parse()?;
    let run = std::process::id();
    let (down, up) = (format!("ipcnet-bench/{run}/down"), format!("ipcnet-bench/{run}/up"));
    let child = unsafe { libc::fork() };
    let is_child = child == 0;
    pin(if is_child { 1 } else { 0 });
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let end = if is_child { open(&node, &up, &down, payload_bytes)? } else { open(&node, &down, &up, payload_bytes)? };
    let mut buffer = vec![0x2au8; payload_bytes];
    if is_child {
        loop {
            end.receive(&mut buffer)?;
            end.send(&buffer)?;
        }
    }
    // Nobody says when the other end listens: asked until it answers.
    end.send(&buffer)?;
    while !end.try_receive(&mut buffer)? {
        std::thread::sleep(std::time::Duration::from_millis(20));
        end.send(&buffer)?;
    }
    std::thread::sleep(std::time::Duration::from_millis(100));
    while end.try_receive(&mut buffer)? {}
    let mut times: Vec<u64> = Vec::with_capacity(rounds);
    for round in 0..rounds + rounds / 10 {
        let start = Instant::now();
        end.send(&buffer)?;
        end.receive(&mut buffer)?;
        if round >= rounds / 10 {
            times.push(start.elapsed().as_nanos() as u64);
        }
    }
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
    times.sort_unstable();
    println!("{{\"bench\":\"iceoryx2\",\"payloadBytes\":{payload_bytes},\"rounds\":{rounds},\"p50Ns\":{},\"p99Ns\":{}}}", times[rounds / 2], times[rounds * 99 / 100]);
    Ok(())
}
