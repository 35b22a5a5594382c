//! One transport between programs: a hub and its leaves, processes of their own. Measures and prints what shm/core/bench/fabric/fabric_bench.c does, for the same arguments.
//! One leaf sends each payload back; several acknowledge it, and the time runs until the last has. Then the hub sends as fast as it is let, and the clock stops when every leaf has everything.
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub const LEAVES_MAX: usize = 16;
pub const ACKNOWLEDGEMENT_BYTES: usize = 16;
const SAMPLES_MAX: usize = 2_000_000;

#[derive(Clone)]
pub struct Plan {
    pub payload_bytes: usize,
    pub leaves: usize,
    /// Messages that may be under way to one leaf.
    pub depth: usize,
    /// Names this run, for what the transport has to name.
    pub run: u32,
}

/// The hub's end. What is sent is never lost: `send` waits while there is no room.
pub trait Hub {
    fn send(&mut self, bytes: &[u8]);
    /// Waits for a message of any leaf, copies it into `buffer`, returns its length.
    fn receive(&mut self, buffer: &mut [u8]) -> usize;
}

/// What a leaf does with a message that it has copied out.
pub enum Answer {
    Nothing,
    SendBack,
    Acknowledge,
}

// 0 = a leaf only says that it has heard something.
const ECHO: i32 = 1;
const ACKNOWLEDGE: i32 = 2;
const COUNT: i32 = 3;

#[repr(align(128))]
struct Tally {
    heard: AtomicI32,
    messages: AtomicU64,
}

/// Shared by hub and leaves, beside the transport.
#[repr(align(128))]
pub struct Stage {
    mode: AtomicI32,
    leaves: [Tally; LEAVES_MAX],
}

impl Stage {
    pub fn took(&self, index: usize) -> Answer {
        match self.mode.load(Ordering::Acquire) {
            ECHO => Answer::SendBack,
            ACKNOWLEDGE => Answer::Acknowledge,
            COUNT => {
                self.leaves[index].messages.fetch_add(1, Ordering::Release);
                Answer::Nothing
            }
            _ => {
                self.leaves[index].heard.store(1, Ordering::Release);
                Answer::Nothing
            }
        }
    }

    fn all_heard(&self, leaves: usize) -> bool {
        self.leaves[..leaves].iter().all(|leaf| leaf.heard.load(Ordering::Acquire) == 1)
    }

    fn fewest(&self, leaves: usize) -> u64 {
        self.leaves[..leaves].iter().map(|leaf| leaf.messages.load(Ordering::Acquire)).min().unwrap_or(0)
    }
}

fn shared_stage() -> &'static Stage {
    let bytes = std::mem::size_of::<Stage>();
    // All zeros is a stage that settles.
    unsafe {
        let memory = libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1, 0);
        assert!(memory != libc::MAP_FAILED);
        &*(memory as *const Stage)
    }
}

/// Pinned, and with real-time priority where that is allowed.
fn take_processor(cpu: usize) {
    unsafe {
        let mut priority: libc::sched_param = std::mem::zeroed();
        priority.sched_priority = 1;
        libc::sched_setscheduler(0, libc::SCHED_FIFO, &priority);
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, std::mem::size_of::<libc::cpu_set_t>(), &set);
    }
}

fn cpu_of(pid: libc::pid_t) -> Duration {
    unsafe {
        let mut clock: libc::clockid_t = 0;
        let mut used: libc::timespec = std::mem::zeroed();
        assert!(libc::clock_getcpuclockid(pid, &mut clock) == 0 && libc::clock_gettime(clock, &mut used) == 0);
        Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
    }
}

fn round_trips(hub: &mut impl Hub, plan: &Plan, duration: Duration, payload: &[u8]) -> Vec<u64> {
    let mut answer = vec![0u8; plan.payload_bytes];
    let mut times = Vec::new();
    let first = Instant::now();
    let mut begin = first;
    while begin - first < duration && times.len() < SAMPLES_MAX {
        hub.send(payload);
        for _ in 0..plan.leaves {
            assert_eq!(hub.receive(&mut answer), if plan.leaves == 1 { plan.payload_bytes } else { ACKNOWLEDGEMENT_BYTES });
        }
        let end = Instant::now();
        times.push((end - begin).as_nanos() as u64);
        begin = end;
    }
    times
}

struct Flow {
    sent: u64,
    elapsed: Duration,
    cpu: Duration,
}

fn flow(hub: &mut impl Hub, plan: &Plan, stage: &Stage, pids: &[libc::pid_t], duration: Duration, payload: &[u8]) -> Flow {
    let used = || pids.iter().fold(cpu_of(0), |sum, &pid| sum + cpu_of(pid));
    let before = used();
    let mut sent = 0;
    stage.mode.store(COUNT, Ordering::Release);
    let begin = Instant::now();
    let burst = if plan.payload_bytes > 65536 { 1 } else { 64 };
    while begin.elapsed() < duration {
        for _ in 0..burst {
            hub.send(payload);
        }
        sent += burst;
    }
    while stage.fewest(plan.leaves) < sent {
        std::thread::sleep(Duration::from_micros(50));
    }
    Flow { sent, elapsed: begin.elapsed(), cpu: used() - before }
}

/// The main function of a transport's program. `spins`: hub and leaf keep a processor each, and there is one leaf.
pub fn run<H: Hub>(name: &str, spins: bool, open: impl Fn(&Plan) -> H, be_leaf: impl Fn(&Plan, usize, &'static Stage)) {
    let words: Vec<usize> = std::env::args().skip(2).map(|word| word.parse().expect("a number")).collect();
    let [payload_bytes, leaves, milliseconds] = words[..] else { panic!("usage: PEER PAYLOAD_BYTES LEAVES MILLISECONDS") };
    assert!(payload_bytes >= ACKNOWLEDGEMENT_BYTES && (1..=if spins { 1 } else { LEAVES_MAX }).contains(&leaves));
    let plan = Plan { payload_bytes, leaves, depth: if payload_bytes > 65536 { 16 } else { 1024 }, run: std::process::id() };
    let duration = Duration::from_millis(milliseconds as u64);
    let stage = shared_stage();
    let mut pids = Vec::new();
    // Before any thread is started.
    for index in 0..leaves {
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            if spins {
                take_processor(1);
            }
            be_leaf(&plan, index, stage);
            std::process::exit(1);
        }
        pids.push(pid);
    }
    if spins {
        take_processor(0);
    }
    let mut hub = open(&plan);
    let payload = vec![0x2au8; payload_bytes];
    // Nobody says when the other ends listen: sent until all have heard something.
    while !stage.all_heard(leaves) {
        hub.send(&payload);
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(200));
    stage.mode.store(if leaves == 1 { ECHO } else { ACKNOWLEDGE }, Ordering::Release);
    round_trips(&mut hub, &plan, duration / 4, &payload); // warm
    let mut times = round_trips(&mut hub, &plan, duration, &payload);
    times.sort_unstable();
    let quantile = |q: usize| times[(times.len() * q / 100).min(times.len() - 1)] as f64 / 1e3;
    let got = flow(&mut hub, &plan, stage, &pids, duration, &payload);
    println!(
        "{{\"peer\":\"{name}\",\"payloadBytes\":{payload_bytes},\"leaves\":{leaves},\"rounds\":{},\"p50Us\":{},\"p99Us\":{},\"messagesPerSecond\":{},\"cpuUsPerMessage\":{}}}",
        times.len(), quantile(50), quantile(99), got.sent as f64 / got.elapsed.as_secs_f64(), got.cpu.as_secs_f64() * 1e6 / (got.sent as f64 * leaves as f64)
    );
    for pid in pids {
        unsafe {
            // Not SIGKILL: a transport may have something to tidy up.
            libc::kill(pid, libc::SIGTERM);
            libc::waitpid(pid, std::ptr::null_mut(), 0);
        }
    }
}
