//! Choice of the kernels' compiler, and the cache of its code, with compilers and a driver that are not real.

use std::cell::Cell;

use macula::engine::gpu::Precision;
use macula::engine::gpu::cubin::{CubinRequest, KernelCompiler};

/// A compiler that counts its work.
struct Counted<'a> {
    version: &'static str,
    compiled: &'a Cell<usize>,
    fails: bool,
}

impl KernelCompiler for Counted<'_> {
    fn name(&self) -> String {
        format!("NVRTC {}", self.version)
    }

    fn compile(&self, architecture: &str, precision: Precision) -> Result<Vec<u8>, String> {
        self.compiled.set(self.compiled.get() + 1);
        if self.fails {
            Err("unknown architecture".to_owned())
        } else {
            Ok(format!("{} {architecture} {precision}", self.version).into_bytes())
        }
    }
}

fn text(code: &[u8]) -> String {
    String::from_utf8_lossy(code).into_owned()
}

#[test]
fn the_first_compiler_whose_code_the_driver_loads_is_taken_and_later_ones_are_not_opened() {
    let compiled = Cell::new(0);
    let request = CubinRequest { architecture: "sm_80", precision: Precision::F32, cache: None };
    let of = |version, fails| Ok(Counted { version, compiled: &compiled, fails });
    // A driver of CUDA 12 rejects what a compiler of CUDA 13 made.
    let old = |code: &[u8]| if text(code).starts_with("12") { Ok(text(code)) } else { Err("no binary".to_owned()) };
    let loaded = request.load_first([of("13.0", false), of("12.8", false), of("12.1", false)], old);
    assert_eq!(loaded, Ok(("12.8 sm_80 f32".to_owned(), "NVRTC 12.8".to_owned())));
    assert_eq!(compiled.get(), 2);
    let none =
        request.load_first([Err("`libnvrtc.so.13` not found".to_owned()), of("13.0", false), of("12.8", true)], old);
    assert_eq!(
        none.unwrap_err(),
        [
            "`libnvrtc.so.13` not found",
            "the driver rejects code of NVRTC 13.0: no binary",
            "NVRTC 12.8 cannot compile the kernels: unknown architecture",
        ]
    );
}

#[test]
fn code_is_compiled_once_and_again_if_its_file_is_broken_or_its_compiler_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().join("gpu");
    let compiled = Cell::new(0);
    let loaded = |version, architecture, precision| {
        let request = CubinRequest { architecture, precision, cache: Some(&cache) };
        let compiler = Counted { version, compiled: &compiled, fails: false };
        let (code, _) = request.load_first([Ok(compiler)], |code| Ok(text(code))).expect("code");
        assert_eq!(code, format!("{version} {architecture} {precision}"));
        compiled.replace(0)
    };
    assert_eq!(loaded("13.0", "sm_80", Precision::F32), 1);
    assert_eq!(loaded("13.0", "sm_80", Precision::F32), 0);
    for (version, architecture, precision) in
        [("13.1", "sm_80", Precision::F32), ("13.0", "sm_90", Precision::F32), ("13.0", "sm_80", Precision::Bf16)]
    {
        assert_eq!(loaded(version, architecture, precision), 1, "{version} {architecture} {precision}");
    }
    let files = || std::fs::read_dir(&cache).expect("the cache").map(|file| file.expect("a file").path());
    assert_eq!(files().count(), 4);
    // Cut off, changed, and emptied.
    let spoilt: [fn(&mut Vec<u8>); 3] =
        [|bytes| bytes.truncate(50), |bytes| *bytes.last_mut().expect("code") ^= 1, Vec::clear];
    for spoil in spoilt {
        for file in files() {
            let mut bytes = std::fs::read(&file).expect("readable");
            spoil(&mut bytes);
            std::fs::write(&file, bytes).expect("writable");
        }
        assert_eq!(loaded("13.0", "sm_80", Precision::F32), 1);
        assert_eq!(loaded("13.0", "sm_80", Precision::F32), 0);
    }
    // A folder that cannot be made is no error.
    std::fs::write(folder.path().join("file"), "").expect("writable");
    let request =
        CubinRequest { architecture: "sm_80", precision: Precision::F32, cache: Some(&folder.path().join("file/gpu")) };
    let compiler = Counted { version: "13.0", compiled: &compiled, fails: false };
    assert!(request.load_first([Ok(compiler)], |_| Ok(())).is_ok());
}
