//! What this process used, as the system counts it.

/// Whose memory is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This process's.
    Own,
    /// That of the processes that it started and that ended, each by itself.
    Children,
}

/// The most memory that was held at any time, bytes; [`None`] where the system does not say.
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
