//! File access rules by Landlock: which paths may be read, executed and written. From kernel 6.12 on, also signals and
//! abstract sockets of other processes.

use std::fs;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use crate::sandbox::{DEVICES, SHARED_MEMORY, SYSTEM, SandboxSpec};

/// Minimum Landlock version: the third one counts truncation as writing.
const FILES: ABI = ABI::V3;

/// Restricts this process and its children to the declared files, irrevocably.
pub(super) fn close(spec: &SandboxSpec) -> Result<(), RulesetError> {
    let read = AccessFs::from_read(FILES);
    let look = AccessFs::ReadFile | AccessFs::ReadDir;
    let all = AccessFs::from_all(FILES);
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(all)?;
    // Use what newer kernels add if available: devices, signals and abstract sockets of other processes.
    let ruleset = ruleset
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        .scope(Scope::from_all(ABI::V6))?;
    let mut created = ruleset.create()?;
    for path in SYSTEM {
        created = allow(created, path.as_ref(), read)?;
    }
    for path in DEVICES.into_iter().chain([SHARED_MEMORY]) {
        created = allow(created, path.as_ref(), all)?;
    }
    for (paths, access) in [(&spec.reads, look), (&spec.runs, read), (&spec.writes, all)] {
        for path in paths {
            created = allow(created, path, access)?;
        }
    }
    let status = created.restrict_self()?;
    debug_assert!(status.ruleset != RulesetStatus::NotEnforced, "a hard requirement was not met");
    Ok(())
}

/// Allows a path. A missing path needs no rule.
fn allow(created: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated, RulesetError> {
    let Ok(opened) = PathFd::new(path) else { return Ok(created) };
    let of_file = fs::metadata(path).is_ok_and(|facts| !facts.is_dir());
    let access = if of_file { access & AccessFs::from_file(FILES) } else { access };
    created.add_rule(PathBeneath::new(opened, access))
}
