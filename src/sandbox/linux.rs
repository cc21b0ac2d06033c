//! The walls as Linux makes them: Landlock for files, a network namespace or Landlock's rules for TCP, death with macula.

use std::fs;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use super::{Confined, DEVICES, SYSTEM, Wall};

/// The oldest Landlock that walls off all that matters: with the third, truncating a file is writing it.
const FILES: ABI = ABI::V3;

/// Puts the walls around this process, for good. Returns what they are made of.
pub(super) fn close(confined: &Confined) -> Result<String, String> {
    // A command does not outlive macula.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|error| format!("it could outlive macula: {error}"))?;
    let namespace = if confined.network == Wall::Closed { leave_network() } else { Err("not wanted".to_owned()) };
    let tcp = confined.network == Wall::Closed && namespace.is_err();
    files(confined, tcp).map_err(|error| {
        if tcp {
            format!("no Landlock for files and TCP ({error}), and no network namespace ({})", shown(&namespace))
        } else {
            format!("no Landlock of Linux 6.2 or newer ({error})")
        }
    })?;
    Ok(match (confined.network, namespace) {
        (Wall::Open, _) => "files by Landlock; network open, as declared",
        (Wall::Closed, Ok(())) => "files by Landlock, network by a namespace",
        (Wall::Closed, Err(_)) => "files by Landlock, TCP by Landlock; UDP is open",
    }
    .to_owned())
}

fn shown(namespace: &Result<(), String>) -> &str {
    namespace.as_ref().err().map_or("", String::as_str)
}

/// Moves into a network namespace of its own, in which there is no network, under the same user's name.
fn leave_network() -> Result<(), String> {
    let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    #[expect(unsafe_code, reason = "a system call that neither std nor rustix offers as safe")]
    // SAFETY: the helper has one thread and shares nothing with another process; the call touches no memory.
    let left = unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) };
    if left != 0 {
        return Err(std::io::Error::last_os_error().to_string());
    }
    // Without these the process is nobody; it would still run, but programs that ask for their user's name would stumble.
    let map = |file: &str, text: String| fs::write(format!("/proc/self/{file}"), text);
    let _ = map("setgroups", "deny".to_owned());
    let _ = map("uid_map", format!("{user} {user} 1"));
    let _ = map("gid_map", format!("{group} {group} 1"));
    Ok(())
}

fn files(confined: &Confined, tcp: bool) -> Result<(), RulesetError> {
    let read = AccessFs::from_read(FILES);
    let look = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut ruleset =
        Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(AccessFs::from_all(FILES))?;
    if tcp {
        ruleset = ruleset.handle_access(AccessNet::from_all(ABI::V4))?;
    }
    // What newer kernels add is taken where it is there: devices, signals and abstract sockets of others.
    let ruleset = ruleset
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        .scope(Scope::from_all(ABI::V6))?;
    let mut created = ruleset.create()?;
    for path in SYSTEM {
        created = allow(created, path.as_ref(), read)?;
    }
    for path in DEVICES {
        created = allow(created, path.as_ref(), AccessFs::from_all(FILES))?;
    }
    for (paths, access) in
        [(&confined.reads, look), (&confined.runs, read), (&confined.writes, AccessFs::from_all(FILES))]
    {
        for path in paths {
            created = allow(created, path, access)?;
        }
    }
    let status = created.restrict_self()?;
    debug_assert!(status.ruleset != RulesetStatus::NotEnforced, "a hard requirement was not met");
    Ok(())
}

/// Lets a path be used. One that is not there can't be used anyway.
fn allow(
    created: RulesetCreated,
    path: &std::path::Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(opened) = PathFd::new(path) else { return Ok(created) };
    let of_file = fs::metadata(path).is_ok_and(|facts| !facts.is_dir());
    let access = if of_file { access & AccessFs::from_file(FILES) } else { access };
    created.add_rule(PathBeneath::new(opened, access))
}
