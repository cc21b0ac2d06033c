//! Memory use and limits of this process, as reported by the system.

use std::path::Path;

/// Processes to report on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This process.
    Own,
    /// Its child processes that have ended, each on its own.
    Children,
}

/// Resident memory of this process, bytes; [`None`] if unknown.
#[must_use]
pub fn held_memory() -> Option<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    #[expect(unsafe_code, reason = "a system call that neither std nor rustix has without another feature")]
    // SAFETY: the call takes a number and returns one.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Some(pages * u64::try_from(page).ok()?)
}

/// Memory available to this process, bytes: the machine's, or the limit of its control groups; [`None`] if unknown.
#[must_use]
pub fn memory_there() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let there = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10;
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    Some(groups.lines().filter_map(allowed).min().map_or(there, |allowed| allowed.min(there)))
}

/// The limit for a line of `/proc/self/cgroup`, `0::/PATH` (version 2) or `N:memory:/PATH` (version 1), including
/// parent groups.
fn allowed(line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (root, file) = match parts.next()? {
        "" => ("/sys/fs/cgroup", "memory.max"),
        "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return None,
    };
    let group = Path::new(parts.next()?.trim_start_matches('/'));
    let limit =
        |group: &Path| std::fs::read_to_string(Path::new(root).join(group).join(file)).ok()?.trim().parse().ok();
    group.ancestors().filter_map(limit).min()
}

/// Peak resident memory, bytes; [`None`] if unknown.
#[must_use]
pub fn peak_memory(whose: Whose) -> Option<u64> {
    let who = match whose {
        Whose::Own => libc::RUSAGE_SELF,
        Whose::Children => libc::RUSAGE_CHILDREN,
    };
    #[expect(unsafe_code, reason = "a system call that neither std nor rustix has")]
    // SAFETY: the struct is plain numbers, for which zeroes are valid, and lives as long as the call, which only writes into it.
    let peak = unsafe {
        let mut used: libc::rusage = std::mem::zeroed();
        (libc::getrusage(who, &raw mut used) == 0).then_some(used.ru_maxrss)
    };
    // Linux counts in KiB, macOS in bytes.
    let unit = if cfg!(target_os = "macos") { 1 } else { 1 << 10 };
    peak.and_then(|peak| u64::try_from(peak).ok()).filter(|peak| *peak > 0).map(|peak| peak * unit)
}
