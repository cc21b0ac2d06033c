//! Compiled kernels: the first compiler whose code the driver loads, and a cache of its code on disk. Knows no driver.

use std::path::Path;

use super::Precision;
use super::cache;
use super::kernel::{SOURCE, options};
use crate::base::{Digest, Hasher};

/// Compiler of the kernels' source.
pub trait KernelCompiler {
    /// Name with its version, for messages and for the cache: `NVRTC 13.0`.
    fn name(&self) -> String;

    /// Machine code for an architecture (`sm_90`), or why there is none.
    ///
    /// # Errors
    /// What the compiler says.
    fn compile(&self, architecture: &str, precision: Precision) -> Result<Vec<u8>, String>;
}

/// What is compiled, and for what.
#[derive(Clone, Debug)]
pub struct CubinRequest<'a> {
    /// Architecture: `sm_90`.
    pub architecture: &'a str,
    /// Precision of the kernels.
    pub precision: Precision,
    /// Folder of compiled kernels, if they are kept.
    pub cache: Option<&'a Path>,
}

/// Before the digest of the code in a cached file.
const MAGIC: &[u8; 16] = b"macula cubin 1\0\0";
const HEAD: usize = MAGIC.len() + 32;

impl CubinRequest<'_> {
    /// Name of the file with the code of a compiler: it depends on the source, the options, the architecture and the compiler.
    fn file(&self, compiler: &str) -> String {
        let mut hasher = Hasher::new("macula cubin 1");
        hasher.text(SOURCE).text(self.architecture).text(compiler);
        for option in options(self.precision) {
            hasher.text(option);
        }
        format!("kernels-{}-{}.cubin", self.architecture, hasher.finish())
    }

    /// Code of a compiler: from the cache if its file is whole, otherwise compiled, and then kept.
    fn code(&self, compiler: &impl KernelCompiler) -> Result<Vec<u8>, String> {
        let file = self.file(&compiler.name());
        if let Some(code) = self.cache.and_then(|folder| whole(&std::fs::read(folder.join(&file)).ok()?)) {
            return Ok(code);
        }
        let code = compiler.compile(self.architecture, self.precision)?;
        if let Some(folder) = self.cache {
            let bytes = [MAGIC.as_slice(), Digest::of(&code).bytes(), &code].concat();
            _ = cache::keep(folder, &file, &bytes);
        }
        Ok(code)
    }

    /// Loads the code of the first compiler that has some which `load` accepts; what is left of `compilers` is not opened. Returns what was
    /// loaded, and the compiler's name.
    ///
    /// # Errors
    /// One reason for each compiler.
    pub fn load_first<C: KernelCompiler, M>(
        &self,
        compilers: impl IntoIterator<Item = Result<C, String>>,
        mut load: impl FnMut(&[u8]) -> Result<M, String>,
    ) -> Result<(M, String), Vec<String>> {
        let mut reasons = Vec::new();
        for compiler in compilers {
            let loaded = compiler.and_then(|compiler| {
                let name = compiler.name();
                let code = self.code(&compiler).map_err(|why| format!("{name} cannot compile the kernels: {why}"))?;
                let loaded = load(&code).map_err(|why| format!("the driver rejects code of {name}: {why}"))?;
                Ok((loaded, name))
            });
            match loaded {
                Ok(loaded) => return Ok(loaded),
                Err(why) => reasons.push(why),
            }
        }
        Err(reasons)
    }
}

/// Code in a cached file; [`None`] if the file is broken.
fn whole(bytes: &[u8]) -> Option<Vec<u8>> {
    let (head, code) = bytes.split_at_checked(HEAD)?;
    (head.starts_with(MAGIC) && Digest::of(code).bytes() == &head[MAGIC.len()..]).then(|| code.to_vec())
}
