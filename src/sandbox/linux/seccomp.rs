//! Seccomp filters: system calls that are denied to commands because they bypass file rules and namespaces. Filters can
//! check numeric arguments but not paths.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter, sock_filter,
};

use super::Space;
use crate::sandbox::NetworkAccess;

/// Always missing for a command: `io_uring` would bypass filters, and the user's keyrings are not in any namespace.
const ABSENT: [c_long; 4] = [libc::SYS_io_uring_setup, libc::SYS_add_key, libc::SYS_request_key, libc::SYS_keyctl];

/// Denied without namespaces: changes of permissions, owners, times and attributes of files that the command may not
/// write, and IPC with other processes.
const REFUSED: [c_long; 25] = [
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    SETXATTRAT,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    REMOVEXATTRAT,
    FILE_SETATTR,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
];

// Newer calls that some C libraries do not define yet; from 424 on, numbers are the same on all processors.
const FCHMODAT2: c_long = 452;
const SETXATTRAT: c_long = 463;
const REMOVEXATTRAT: c_long = 466;
const FILE_SETATTR: c_long = 469;

/// Older variants that only exist on x86-64.
#[cfg(target_arch = "x86_64")]
const OLDER: [c_long; 6] =
    [libc::SYS_chmod, libc::SYS_chown, libc::SYS_lchown, libc::SYS_utime, libc::SYS_utimes, libc::SYS_futimesat];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: [c_long; 0] = [];

/// Calls whose first argument is a process id, 0 for the caller: only 0 is allowed.
const OF_PROCESS: [c_long; 7] = [
    libc::SYS_prlimit64,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setattr,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
];

/// `FS_IOC_SETFLAGS` and `FS_IOC_FSSETXATTR`: change file attributes through a read-only descriptor.
const ATTRIBUTES: [u64; 2] = [0x4008_6602, 0x401c_5820];

/// Installs the filters for this process and its children, irrevocably.
pub(super) fn close(space: Space, network: NetworkAccess) -> Result<(), String> {
    let absent = ABSENT.into_iter().map(|call| (call, Vec::new())).collect();
    let filters = [(refused(space, network)?, libc::EPERM), (absent, libc::ENOSYS)];
    for (rules, error) in filters {
        let program = program(rules, error).map_err(|error| error.to_string())?;
        apply_filter(&program).map_err(|error| error.to_string())?;
    }
    Ok(())
}

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

fn refused(space: Space, network: NetworkAccess) -> Result<Rules, String> {
    let mut rules = Rules::new();
    // Other families (VM sockets, Bluetooth, …) are not confined to a namespace.
    let families = match (space, network) {
        (Space::Own, _) => vec![libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK],
        (Space::Shared, NetworkAccess::Allowed) => vec![libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK],
        (Space::Shared, NetworkAccess::Denied) => vec![libc::AF_NETLINK],
    };
    let other = families.into_iter().map(|family| is_not(0, family.unsigned_abs().into()));
    rules.insert(libc::SYS_socket, vec![rule(other.collect())?]);
    if space == Space::Own {
        return Ok(rules);
    }
    rules.extend(REFUSED.into_iter().chain(OLDER).map(|call| (call, Vec::new())));
    for call in OF_PROCESS {
        rules.insert(call, vec![rule(vec![is_not(0, 0)])?]);
    }
    // Only for the calling process; `setpriority` and `ioprio_set` number that differently.
    for (call, process) in [(libc::SYS_setpriority, 0), (libc::SYS_ioprio_set, 1)] {
        rules.insert(call, vec![rule(vec![is_not(0, process)])?, rule(vec![is_not(1, 0)])?]);
    }
    let attributes = ATTRIBUTES.into_iter().map(|request| rule(vec![compare(1, SeccompCmpOp::Eq, request)]));
    rules.insert(libc::SYS_ioctl, attributes.collect::<Result<_, _>>()?);
    Ok(rules)
}

/// A rule that matches if all conditions do.
fn rule(conditions: Vec<Result<SeccompCondition, String>>) -> Result<SeccompRule, String> {
    let conditions = conditions.into_iter().collect::<Result<_, _>>()?;
    SeccompRule::new(conditions).map_err(|error| error.to_string())
}

fn is_not(argument: u8, value: u64) -> Result<SeccompCondition, String> {
    compare(argument, SeccompCmpOp::Ne, value)
}

fn compare(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, String> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).map_err(|error| error.to_string())
}

fn program(rules: Rules, error: i32) -> Result<BpfProgram, seccompiler::BackendError> {
    let refuse = SeccompAction::Errno(error.unsigned_abs());
    let processor = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, processor)?;
    let program: BpfProgram = filter.try_into()?;
    Ok(other_numbers().into_iter().chain(program).collect())
}

/// Denies x32, the second system call table of x86-64, which current programs do not use.
fn other_numbers() -> Vec<sock_filter> {
    const LOAD_NUMBER: sock_filter = sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 };
    const IF_OTHER: sock_filter = sock_filter { code: 0x35, jt: 0, jf: 1, k: 0x4000_0000 };
    const REFUSE: sock_filter = sock_filter { code: 0x06, jt: 0, jf: 0, k: 0x0005_0000 | libc::ENOSYS as u32 };
    if cfg!(target_arch = "x86_64") { vec![LOAD_NUMBER, IF_OTHER, REFUSE] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_can_be_built_for_this_processor() {
        for (space, network) in [
            (Space::Own, NetworkAccess::Allowed),
            (Space::Shared, NetworkAccess::Allowed),
            (Space::Shared, NetworkAccess::Denied),
        ] {
            let rules = refused(space, network).expect("rules");
            assert!(program(rules, libc::EPERM).is_ok_and(|program| program.len() > 10), "{space:?} {network:?}");
        }
    }
}
