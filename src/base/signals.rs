//! Signal dispositions that this process inherited.

/// Whether a signal is ignored, as `nohup` does with `SIGHUP`.
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    #[expect(unsafe_code, reason = "a system call that neither std nor rustix has")]
    // SAFETY: the structure is zeros, which it may be, and is written by the call only; nothing is set.
    unsafe {
        let mut found: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut found) == 0 && found.sa_sigaction == libc::SIG_IGN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_not_ignored_unless_somebody_says_so() {
        // The Rust runtime ignores this one and no other.
        assert!(is_ignored(libc::SIGPIPE));
        assert!(!is_ignored(libc::SIGTERM));
    }
}
