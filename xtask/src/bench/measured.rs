//! What a program used from its start to its end. Needs `/proc`, so Linux.

use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// What one run of a program used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Measured {
    /// Seconds of all its threads, in its own code and in the kernel.
    pub(crate) cpu: f64,
    /// Seconds on the clock.
    pub(crate) wall: f64,
    /// The most memory that was resident, in bytes.
    pub(crate) memory: u64,
}

/// Runs a program to its end and measures it. No other child may end meanwhile: the kernel adds
/// the times of all children that ended.
pub(crate) fn measure(command: &mut Command) -> Result<(Measured, ExitStatus)> {
    let before = cpu_of_children()?;
    let started = Instant::now();
    let mut child = command.spawn().context("could not start the program")?;
    let (done, memory) = (AtomicBool::new(false), AtomicU64::new(0));
    let id = child.id();
    let (status, wall) = thread::scope(|scope| {
        scope.spawn(|| {
            // The kernel keeps the peak, so that only growth in the last moment can be missed.
            while !done.load(Ordering::Relaxed) {
                memory.fetch_max(peak_memory(id).unwrap_or(0), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        });
        let status = child.wait();
        let wall = started.elapsed();
        done.store(true, Ordering::Relaxed);
        (status, wall)
    });
    let measured = Measured {
        cpu: cpu_of_children()? - before,
        wall: wall.as_secs_f64(),
        memory: memory.into_inner(),
    };
    Ok((measured, status.context("could not wait for the program")?))
}

fn cpu_of_children() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

fn peak_memory(process: u32) -> Option<u64> {
    resident(process).map(|memory| memory.peak)
}

/// The memory of a running process that is resident, in bytes.
pub(crate) struct Resident {
    pub(crate) now: u64,
    pub(crate) peak: u64,
}

/// Asks the kernel for the memory of a running process.
pub(crate) fn resident(process: u32) -> Option<Resident> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kilobytes * 1024)
    };
    Some(Resident { now: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
}

/// Seconds that a running process took so far, threads that have ended included, to a hundredth.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn cpu_of(process: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name comes before, in parentheses, and may hold anything.
    let (_, behind) = stat.rsplit_once(')')?;
    let mut ticks = behind.split_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (ticks.next()?.ok()?, ticks.next()?.ok()?);
    Some((user + system) as f64 / TICKS)
}

/// The kernel's unit of accounting, in the interface that programs see.
const TICKS: f64 = 100.0;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::measure;

    #[test]
    fn a_program_is_measured() {
        let mut command = Command::new("sh");
        command.args(["-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; exit 3"]);
        let (measured, status) = measure(&mut command).unwrap();
        assert_eq!(status.code(), Some(3));
        assert!(measured.cpu > 0.0 && measured.wall > 0.0 && measured.memory > 0, "{measured:?}");
    }
}
