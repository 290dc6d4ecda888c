//! What the system knows of the process, where it has `/proc`. Elsewhere these metrics are absent.

use super::page::Page;
use std::fs;

/// Ticks of `/proc` in a second, whatever the kernel's own clock is.
const TICKS: f64 = 100.0;

pub(super) fn write(page: &mut Page) {
    if let Some(times) = times() {
        page.write("process_cpu_seconds_total", "counter", [(String::new(), times.cpu)]);
        page.write("process_start_time_seconds", "gauge", [(String::new(), times.start)]);
    }
    for (name, field) in [("process_resident_memory_bytes", "VmRSS:"), ("process_virtual_memory_bytes", "VmSize:")] {
        if let Some(kib) = field_of("/proc/self/status", field) {
            page.gauge(name, kib * 1024);
        }
    }
    // Go has all bits set for what has no limit.
    let limits = [
        ("process_max_fds", "Max open files"),
        ("os_fd_limit", "Max open files"),
        ("process_virtual_memory_max_bytes", "Max address space"),
    ];
    for (name, field) in limits {
        page.gauge(name, field_of("/proc/self/limits", field).unwrap_or(u64::MAX));
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        let open = files.count() as u64;
        page.gauge("process_open_fds", open);
        page.gauge("os_fd_used", open);
    }
}

/// The first number behind a field's name.
fn field_of(file: &str, field: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

/// In seconds.
struct Times {
    cpu: f64,
    /// Since 1970.
    start: f64,
}

fn times() -> Option<Times> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in brackets, which may hold blanks.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let boot = field_of("/proc/stat", "btime")? as f64;
    Some(Times { cpu: (field(14)? + field(15)?) / TICKS, start: boot + field(22)? / TICKS })
}
