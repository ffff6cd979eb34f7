//! What the CPU has, and how much memory this process has used.

/// Extensions that kernels use, where the CPU has them.
pub(super) fn features() -> Vec<&'static str> {
    let mut found = Vec::new();
    macro_rules! ask {
        ($detected:ident, $($name:tt)*) => {
            $(if std::arch::$detected!($name) { found.push($name); })*
        };
    }
    #[cfg(target_arch = "x86_64")]
    ask!(
        is_x86_feature_detected,
        "sse4.1" "avx2" "fma" "avxvnni" "avx512f" "avx512bw" "avx512dq" "avx512vl" "avx512vnni"
    );
    #[cfg(target_arch = "aarch64")]
    ask!(is_aarch64_feature_detected, "neon" "dotprod" "i8mm");
    found
}

/// The largest cache of the first CPU, as Linux tells it.
pub(super) fn largest_cache_bytes() -> Option<usize> {
    let caches = std::fs::read_dir("/sys/devices/system/cpu/cpu0/cache").ok()?;
    let sizes = caches.filter_map(|cache| std::fs::read_to_string(cache.ok()?.path().join("size")).ok());
    let bytes = sizes.filter_map(|size| Some(size.trim().strip_suffix('K')?.parse::<usize>().ok()? * 1024));
    bytes.max()
}

/// The most memory that this process has had at once, as Linux tells it.
pub(super) fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
